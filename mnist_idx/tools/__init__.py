"""What users run on top of the builders: the command line and the functions behind its commands."""
