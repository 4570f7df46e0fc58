"""Robots that policies and simulators share: the conventions under which each is driven."""
