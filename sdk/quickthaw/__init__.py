"""The quickthaw SDK: write model functions, deploy them, call them. Imports neither torch nor the platform."""
