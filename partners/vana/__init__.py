"""Vana: registration of a stored file on an EVM chain, with proof, refinement and reward."""
