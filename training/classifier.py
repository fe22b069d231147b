"""Small ResNets that tell classes of pictures apart: the feature networks of the metrics, for Fashion-MNIST and for emoji.

Picture [C,32,32] in [-1,1] -> stem conv, three residual blocks (16 at 32x32, 32 at 16x16, 64 at 8x8), mean over the pixels
(64 features), linear. Trained with batch norm, exported with it folded into the convolutions: the graph that is left is

    x = silu(stem(x))
    for each block: x = silu(conv_1(silu(conv_0(x))) + shortcut(x))     conv_0 and shortcut carry the stride
    features = mean(x); logits = head(features)
"""
import torch
from torch import nn
from torch.nn import functional as F

import data
from base import Batches, Training, main, save_json, save_weights

WIDTHS = (16, 32, 64)


class ConvBn(nn.Module):
    def __init__(self, cin, cout, size, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, size, stride, size // 2, bias=False)
        self.bn = nn.BatchNorm2d(cout)

    def forward(self, x):
        return self.bn(self.conv(x))

    def folded(self):
        """Weight and bias of the one convolution that this is in evaluation."""
        scale = self.bn.weight / torch.sqrt(self.bn.running_var + self.bn.eps)
        return self.conv.weight * scale[:, None, None, None], self.bn.bias - self.bn.running_mean * scale


class Block(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv_0 = ConvBn(cin, cout, 3, stride)
        self.conv_1 = ConvBn(cout, cout, 3)
        self.shortcut = ConvBn(cin, cout, 1, stride) if stride > 1 or cin != cout else None

    def forward(self, x):
        h = self.conv_1(F.silu(self.conv_0(x)))
        return F.silu(h + (self.shortcut(x) if self.shortcut else x))


class Classifier(nn.Module):
    def __init__(self, channels=1, classes=10):
        super().__init__()
        self.stem = ConvBn(channels, WIDTHS[0], 3)
        self.blocks = nn.ModuleList(
            [Block(WIDTHS[0], WIDTHS[0], 1), Block(WIDTHS[0], WIDTHS[1], 2), Block(WIDTHS[1], WIDTHS[2], 2)]
        )
        self.head = nn.Linear(WIDTHS[-1], classes)

    def features(self, x):
        x = F.silu(self.stem(x))
        for block in self.blocks:
            x = block(x)
        return x.mean((2, 3))

    def forward(self, x):
        return self.head(self.features(x))

    def folded(self):
        """State dict without batch norm."""
        tensors = {"head.weight": self.head.weight, "head.bias": self.head.bias}
        for name, module in self.named_modules():
            if isinstance(module, ConvBn):
                tensors[name + ".weight"], tensors[name + ".bias"] = module.folded()
        return {key: value.detach() for key, value in tensors.items()}


def shifted(x, most, background):
    """Each picture moved by up to `most` pixels, `background` coming in."""
    n, _, height, width = x.shape
    padded = F.pad(x, (most,) * 4, value=background)
    dy, dx = torch.randint(0, 2 * most + 1, (2, n))
    rows = dy[:, None] + torch.arange(height)
    columns = dx[:, None] + torch.arange(width)
    return padded[torch.arange(n)[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


class PictureClassifier(Training):
    batch = 128
    sheet_every = 1000
    shift = 1
    background = -1.0

    def __init__(self):
        torch.manual_seed(self.seed)
        pictures, labels, self.classes = self.data("train")
        self.batches = Batches(pictures, labels, self.batch, self.seed)
        self.steps = self.epochs * self.batches.per_epoch
        self.net = Classifier(pictures.shape[1], len(self.classes)).to(memory_format=torch.channels_last)
        self.optimiser = torch.optim.AdamW(self.net.parameters(), 1e-3, weight_decay=0.01)
        self.rate = torch.optim.lr_scheduler.OneCycleLR(self.optimiser, 6e-3, total_steps=self.steps, pct_start=0.2)

    def parts(self):
        return {"net": self.net, "optimiser": self.optimiser, "rate": self.rate}

    def step(self, k):
        x, labels = self.batches.at(k)
        x = shifted(x, self.shift, self.background).to(memory_format=torch.channels_last)
        logits = self.net(x)
        loss = F.cross_entropy(logits, labels)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.rate.step()
        return {"loss": loss.item(), "error": (logits.argmax(1) != labels).float().mean().item()}

    @torch.no_grad()
    def odds(self, x):
        """Probabilities of the classes for pictures in [-1,1]."""
        self.net.eval()
        odds = torch.cat([self.net(part).softmax(1) for part in x.split(500)])
        self.net.train()
        return odds

    def measure(self):
        pictures, labels, _ = self.data("held_out")
        labels = torch.from_numpy(labels)
        sure, guess = self.odds(self.batches.scale(torch.from_numpy(pictures))).max(1)
        right = (guess == labels).float()
        return {
            "accuracy": right.mean().item(),
            "confidence_above_0.8": (sure > 0.8).float().mean().item(),
            "by_class": [round(right[labels == c].mean().item(), 3) if (labels == c).any() else None for c in range(len(self.classes))],
        }

    def export(self, folder):
        self.net.eval()
        tensors = self.net.folded()
        save_weights(tensors, folder / "model.safetensors")
        channels = tensors["stem.weight"].shape[1]
        config = {"_class_name": "ResNetClassifier", "image_size": 32, "image_channels": channels, "widths": list(WIDTHS), "act_fn": "silu"}
        config["id2label"] = {str(i): name for i, name in enumerate(self.classes)}
        save_json(config, folder / "config.json")


class FashionClassifier(PictureClassifier):
    name = "fashion-classifier"
    epochs = 7

    def data(self, part):
        return (*data.fashion(part), list(data.FASHION_CLASSES))


class EmojiClassifier(PictureClassifier):
    name = "emoji-classifier"
    epochs = 40
    shift, background = 2, 1.0

    def data(self, part):
        return data.emoji(part)


if __name__ == "__main__":
    main(FashionClassifier, EmojiClassifier)
