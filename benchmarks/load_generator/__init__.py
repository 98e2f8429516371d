"""The load generator beside a public one, against an endpoint whose times are known."""
