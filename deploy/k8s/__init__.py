"""The provider that launches agents as pods of a Kubernetes cluster."""
