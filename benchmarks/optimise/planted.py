"""The planted task's function: solves an input where the prompt is good enough for it. No model is asked."""

from __future__ import annotations

import quickthaw

app = quickthaw.App("planted")

HELP = ("Alpha helps.", "Beta helps.", "Gamma helps.")
HARM = ("Delta harms.", "Epsilon harms.", "Zeta harms.")


def quality(prompt: str) -> float:
    """Return what share of inputs a prompt solves: 1 needs the helping sentences, no harm, and three even examples."""
    shown = [int(line.split()[1]) for line in prompt.splitlines() if line.startswith("E ")]
    helped = 0.1 + 0.2 * sum(sentence in prompt for sentence in HELP)
    harmed = 0.15 * sum(sentence in prompt for sentence in HARM) + 0.1 * ("Noise harms." in prompt)
    return helped - harmed + 0.1 * min(3, sum(number % 2 == 0 for number in shown))


@app.function(model="smollm2-135m-instruct", engine="echo", concurrency=32, keep_alive="1h")
def planted(model: quickthaw.Model, prompt: str) -> str:
    """Answer what the prompt's last line asks."""
    del model  # nobody asks it
    asked = int(prompt.rsplit("Q ", 1)[1])
    return f"answer {asked}" if (asked * 0.618033988) % 1 < quality(prompt) else "no idea"
