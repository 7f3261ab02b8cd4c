"""Agents as pods of a Kubernetes cluster: one Job and one Secret a fleet."""
