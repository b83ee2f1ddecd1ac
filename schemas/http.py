"""What goes over HTTP besides the batch requests: the latest results of one restaurant, and errors."""

from schemas.base import Identifier, WireModel
from schemas.findings import AnalysisError
from schemas.results import RestaurantStrengths, RestaurantSummary, SentimentTotals


class RestaurantLatest(WireModel):
    """Body of GET /api/v1/restaurants/{id}: the latest of each; null where there is none yet."""

    restaurant_id: Identifier
    totals: SentimentTotals | None = None
    summary: RestaurantSummary | None = None
    strengths: RestaurantStrengths | None = None


class ErrorBody(WireModel):
    """Body of every answer that is none, except 422, which lists each field that is wrong."""

    error: AnalysisError
