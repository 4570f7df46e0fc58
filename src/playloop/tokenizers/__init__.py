"""Actions, frames and text ↔ ids.

Its files lie in the checkout's `tokenizers/`, which carries no `__init__.py`: that would hide Hugging Face's.
"""
