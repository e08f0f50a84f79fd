"""The UltraEditBench builder: triples in, a checked editing data set out."""

from ultraeditbench.config import BuildConfig
from ultraeditbench.pipeline import BuildResult, Progress, build

__all__ = ["BuildConfig", "BuildResult", "Progress", "build"]
