"""What calls and servers cost: closed forms, break-even, and bills of what was measured. Pure."""
