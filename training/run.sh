#!/bin/sh
# Goes on with the next unfinished training, one after another, wherever it was stopped. Started twice, two go on side by side:
# a training that another process works at is passed over. PYTHON names the interpreter.
cd "$(dirname "$0")" || exit 1
# Where Linux groups processes by session, nice counts within a session alone: then a session
# of its own (setsid ./run.sh) gets the nice value as a whole.
if [ "$(ps -o sid= -p $$ | tr -d ' ')" = "$$" ] && [ -w /proc/$$/autogroup ]; then
    echo 19 > /proc/$$/autogroup
fi
while read -r file name; do
    nice -n 19 "${PYTHON:-python3}" -u "$file" --only "$name"
    # 130: stopped by a signal, after a checkpoint; so stop the whole chain.
    [ $? -eq 130 ] && exit 130
done <<END
classifier.py fashion-classifier
ddpm.py fashion-ddpm
score_sde.py fashion-vp
cld.py fashion-cld
ddgan.py fashion-ddgan
lsgm.py fashion-lsgm-vae
lsgm.py fashion-lsgm
score_sde.py fashion-ve
ddpm.py emoji32
classifier.py emoji-classifier
END
exit 0
