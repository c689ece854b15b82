"""Kinds that CustomResourceDefinitions declare: what their schemas do to objects."""
