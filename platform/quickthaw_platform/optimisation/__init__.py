"""Search for the instruction and the few-shot examples that make a function answer a task best, within a budget.

What decides is pure (`contract`, `evolution`, `mutations`, `budget`, `split`, `measuring`); what acts is `calling` (the
platform), `journal` (the disk) and `running`, which brings both together.
"""
