"""The assets in their order, and the job that works one package through them."""

from __future__ import annotations

import dagster as dg

from alp_assets.assets.clips import clips
from alp_assets.assets.embeddings import embeddings
from alp_assets.assets.metadata import metadata
from alp_assets.assets.models import models
from alp_assets.assets.quality import quality
from alp_assets.assets.report import report
from alp_assets.assets.scores import scores
from alp_assets.assets.upload import upload
from alp_assets.assets.versioned import versioned
from alp_assets.assets.workplace import packages

assets = [upload, metadata, quality, clips, embeddings, models, scores, report, versioned]

onboard = dg.define_asset_job(
    "onboard",
    selection=dg.AssetSelection.assets(*assets),
    partitions_def=packages,
    description="One package, from its zip to its report.",
)
