"""Model servers for tests, from the cheapest to the most faithful.

========================  ==============  ============================================================================
Module                    Runs in         Purpose
========================  ==============  ============================================================================
``stub_worker``           its process     Measure the gateway: fixed responses from memory, at minimal CPU cost.
``mock_worker``           its process     Load and fault tests: response time, image cache, and faults at runtime.
``fake_worker``           the test        Gateway tests: the vLLM API, with recorded requests and configurable behavior.
``fake_openai_server``    the test        Client tests, such as sarbench: any OpenAI-compatible server.
``scripted_worker``       the test        Dispatcher tests: prepared responses and failures, without servers and pixels.
``triton_server``         its process     Triton tests: the protocol of Triton's vLLM backend, with a vLLM engine.
``support.vllm``          its process     End-to-end tests: vLLM itself on the CPU.
========================  ==============  ============================================================================

``test_worker_contract.py`` runs the same cases against ``fake_worker`` and vLLM.

One vocabulary applies to all of them. A worker *responds*, or *fails* because of a *fault*. ``pause_s`` is the time of
a response or token. ``slots`` is the number of concurrent responses. ``known`` holds the ids of *cached* images.
"""
