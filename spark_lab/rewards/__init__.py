"""What the learner is told its answers are worth: by a verifier that may err or be absent, or by itself."""

from spark_lab.rewards.labels import Labels
from spark_lab.rewards.self_judge import SelfJudge

__all__ = ["Labels", "SelfJudge"]
