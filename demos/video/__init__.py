"""Videos whose frames are addressed by number: decoding, encoding and joining them."""
