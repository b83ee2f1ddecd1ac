"""The examples of the OpenAPI document and of the README: the same bodies, tested verbatim."""

from typing import Any

SENTIMENT: dict[str, Any] = {
    "restaurants": [
        {
            "restaurant_id": 1,
            "reviews": [
                {"content": "음식이 맛있네요!", "restaurant_id": 1},
                {"content": "서비스가 좋아요!", "restaurant_id": 1},
            ],
        },
        {"restaurant_id": 2, "reviews": [{"content": "가격이 합리적이에요!", "restaurant_id": 2}]},
    ],
    "max_tokens_per_batch": 4000,
}
SUMMARY: dict[str, Any] = {
    "restaurants": [
        {
            "restaurant_id": 1,
            "positive_reviews": [{"content": "음식이 맛있네요!", "is_recommended": True}],
            "negative_reviews": [{"content": "서비스가 아쉽네요", "is_recommended": False}],
        }
    ],
    "max_tokens_per_batch": 4000,
}
STRENGTH: dict[str, Any] = {
    "restaurants": [
        {
            "target_restaurant_id": 1,
            "target_reviews": [{"content": "음식이 맛있고 서비스가 좋아요!", "is_recommended": True}],
            "comparison_reviews": [{"content": "음식 맛은 무난하고 실패는 없는 편이다.", "is_recommended": True}],
        }
    ],
    "max_tokens_per_batch": 4000,
}
