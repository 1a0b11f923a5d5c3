"""spark-lab: train, ablate and analyse models that are their own judge (SPARK, arXiv 2509.22624)."""

from pathlib import Path as _Path

# conf/, sweeps/ and analysis/ are top-level folders of the checkout that install as subpackages.
# An uninstalled or editable checkout finds them here.
_checkout = _Path(__file__).resolve().parent.parent
if not (_Path(__file__).parent / "conf").is_dir() and (_checkout / "conf/config.yaml").is_file():
    __path__.append(str(_checkout))
