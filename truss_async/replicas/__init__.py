"""Replicas: copies of the model, the pool that keeps them alive, and the slots that calls share.

Nothing is imported here, so that the settings of a deployment can be read without what runs one.
"""
