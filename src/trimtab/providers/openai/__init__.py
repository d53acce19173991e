"""Servers that speak the OpenAI API: OpenAI itself, vLLM, llama.cpp, Ollama and others.

What it is not: a translation from Messages. Invariant: bodies go through untouched.
"""

from trimtab.providers.openai.platform import OpenAISettings, open_openai

__all__ = ["OpenAISettings", "open_openai"]
