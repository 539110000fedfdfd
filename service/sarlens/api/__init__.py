"""The protocols that the gateway answers: OpenAI, SAR tasks, Open Inference Protocol, OGC API and gRPC."""
