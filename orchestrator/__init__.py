"""The control plane: desired state in etcd, decisions on NATS, the Kubernetes API in front."""
