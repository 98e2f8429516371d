"""What `quickthaw doctor` looks at: facts of the machine and of a running platform, and what they mean."""
