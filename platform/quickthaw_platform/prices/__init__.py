"""What serving costs: dated price files of clouds and machines, bills of a measured use, and prices per token."""
