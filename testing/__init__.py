"""What an environment, a policy, an agent, a world model or a training task must keep: checks for tests."""
