"""Policies for harnesses of others: one server that speaks the protocols of the field."""
