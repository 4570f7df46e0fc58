"""Settings by name: a file env/NAME.yaml in this folder is `env=NAME`."""
