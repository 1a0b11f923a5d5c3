"""The conversation that wraps every prompt: questions, judge prompts and reflections alike."""

from __future__ import annotations


def messages(text: str, system_prompt: str | None) -> list[dict[str, str]]:
    """One user turn, after the system prompt where there is one (some chat templates have none)."""
    turns = [{"role": "system", "content": system_prompt}] if system_prompt else []
    return [*turns, {"role": "user", "content": text}]
