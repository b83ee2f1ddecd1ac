"""The engine: as the consumer sees it, by vLLM's own metrics, and by the GPU's."""

from deploy.grafana.parts import Dashboard, Panel, Query, Row


def _rate(metric: str) -> str:
    return f"sum(rate({metric}[$__rate_interval]))"


def _quantile(share: float, metric: str) -> str:
    return f"histogram_quantile({share}, sum by (le) (rate({metric}_bucket[$__rate_interval])))"


SEEN = Row(
    "As the consumer sees it, whatever the engine",
    (
        Panel(
            "Which engine",
            "Two at once outside of an upgrade: results come from different models.",
            "short",
            (Query("count by (engine, model) (review_consumer_engine_info)", "{{engine}} {{model}}"),),
            kind="stat",
        ),
        Panel(
            "Tokens a second",
            "Prompts and answers. Far below its usual with work waiting: the engine is slow, or is not given enough "
            "(`held`, on the pipeline's dashboard).",
            "short",
            (
                Query(_rate("review_consumer_prompt_tokens_total"), "prompts"),
                Query(_rate("review_consumer_generation_tokens_total"), "answers"),
            ),
        ),
        Panel(
            "Prompts' tokens found in the prefix cache",
            "The prompts' shared beginning should be found. Near 0: prefix caching is off, or the beginning is shorter "
            "than a block.",
            "percentunit",
            (
                Query(
                    _rate("review_consumer_prompt_cached_tokens_total")
                    + " / "
                    + _rate("review_consumer_prompt_tokens_total"),
                    "found",
                ),
            ),
        ),
        Panel(
            "Requests in the engine",
            "Running, and waiting in its own queue, where it tells. Waiting far above running: too much is admitted.",
            "short",
            (
                Query("sum(review_consumer_engine_running_requests)", "running"),
                Query("sum(review_consumer_engine_waiting_requests)", "waiting"),
            ),
        ),
        Panel(
            "KV cache in use",
            "Over 90 %: admission shrinks the tokens in flight. There all the time: the cache is too small for the "
            "load.",
            "percentunit",
            (Query("max(review_consumer_engine_kv_cache_usage_ratio)", "the fullest"),),
            bad_above=0.9,
        ),
        Panel(
            "Preemptions in 10 minutes",
            "Requests that the engine threw out for want of memory and computes again. A few after a burst are "
            "harmless; more without end: the KV cache is too small for the model.",
            "short",
            (Query("sum(increase(review_consumer_engine_preemptions_total[10m]))", "preemptions"),),
            bad_above=20,
        ),
        Panel(
            "Result cache",
            "Share of items that were not asked, as an equal one is kept or in flight. Near 0 while records are read "
            "anew: the cache is too small, or the shared one is down.",
            "percentunit",
            (
                Query(
                    'sum(rate(review_consumer_cache_lookups_total{result!="asked"}[$__rate_interval])) / '
                    "sum(rate(review_consumer_cache_lookups_total[$__rate_interval]))",
                    "found",
                ),
            ),
        ),
        Panel(
            "Time of a batch, and of an item",
            "Half of them are quicker. A batch far slower than its items: one slow item in each; it holds up nobody "
            "else.",
            "s",
            (
                Query(_quantile(0.5, "review_consumer_batch_seconds"), "batch"),
                Query(_quantile(0.5, "review_consumer_engine_seconds"), "item"),
            ),
        ),
    ),
)

VLLM = Row(
    "vLLM, by its own metrics",
    (
        Panel(
            "Requests",
            "Running and waiting. Waiting without end: it is asked for more than it can do.",
            "short",
            (
                Query("sum(vllm:num_requests_running)", "running"),
                Query("sum(vllm:num_requests_waiting)", "waiting"),
            ),
        ),
        Panel(
            "KV cache",
            "At 100 % requests are preempted.",
            "percentunit",
            (Query("max(vllm:kv_cache_usage_perc)", "in use"),),
            bad_above=0.9,
        ),
        Panel(
            "Preemptions in 10 minutes",
            "As above, by vLLM's own count.",
            "short",
            (Query("sum(increase(vllm:num_preemptions_total[10m]))", "preemptions"),),
            bad_above=20,
        ),
        Panel(
            "Tokens a second",
            "Prompt tokens are prefill, generation tokens decode. Prefill near 0 with work waiting: the engine stands.",
            "short",
            (
                Query(_rate("vllm:prompt_tokens_total"), "prompts"),
                Query(_rate("vllm:generation_tokens_total"), "answers"),
            ),
        ),
        Panel(
            "Prefix cache",
            "Share of the prompts' tokens that were found. A fall after a deployment: a prompt changed, or the cache "
            "is too small.",
            "percentunit",
            (
                Query(
                    f"{_rate('vllm:prefix_cache_hits_total')} / {_rate('vllm:prefix_cache_queries_total')}",
                    "found",
                ),
            ),
        ),
        Panel(
            "Time to the first token, and of a request",
            "95 in 100 are quicker. The first token late: the queue; the request late and the first token not: long "
            "answers.",
            "s",
            (
                Query(_quantile(0.95, "vllm:time_to_first_token_seconds"), "first token"),
                Query(_quantile(0.95, "vllm:e2e_request_latency_seconds"), "request"),
                Query(_quantile(0.95, "vllm:request_queue_time_seconds"), "of this in vLLM's queue"),
            ),
        ),
        Panel(
            "Requests that ended, and how",
            "`stop` and `length` are answers. `abort`: the consumer gave up, by a time-out or a stop. `error`: vLLM's "
            "log.",
            "reqps",
            (
                Query(
                    "sum by (finished_reason) (rate(vllm:request_success_total[$__rate_interval]))",
                    "{{finished_reason}}",
                ),
            ),
        ),
    ),
)

GPU = Row(
    "The GPU",
    (
        Panel(
            "In use",
            "Share of the time in which a kernel ran; by the consumer (NVML) and by dcgm-exporter. Low with work "
            "waiting: the engine is held up, by its CPU or by us.",
            "percentunit",
            (
                Query("review_consumer_gpu_utilization_ratio", "NVML, GPU {{gpu}}"),
                Query("DCGM_FI_DEV_GPU_UTIL / 100", "DCGM, GPU {{gpu}}"),
            ),
        ),
        Panel(
            "Memory in use",
            "vLLM takes its share at the start and keeps it. Rising later: another process is on the GPU.",
            "percentunit",
            (
                Query(
                    "review_consumer_gpu_memory_used_bytes / review_consumer_gpu_memory_size_bytes", "NVML, GPU {{gpu}}"
                ),
                Query("DCGM_FI_DEV_FB_USED / (DCGM_FI_DEV_FB_USED + DCGM_FI_DEV_FB_FREE)", "DCGM, GPU {{gpu}}"),
            ),
        ),
        Panel(
            "Temperature and power",
            "Clocks fall when it is too hot, and everything becomes slower. 85 degrees Celsius for long: look at the "
            "cooling.",
            "short",
            (
                Query("DCGM_FI_DEV_GPU_TEMP", "degrees Celsius, GPU {{gpu}}"),
                Query("DCGM_FI_DEV_POWER_USAGE", "watts, GPU {{gpu}}"),
            ),
        ),
        Panel(
            "Last XID error",
            "Not 0: the driver reported a fault of the GPU; the number is in NVIDIA's list of XID errors.",
            "short",
            (Query("DCGM_FI_DEV_XID_ERRORS", "GPU {{gpu}}"),),
            bad_above=1,
        ),
    ),
)

ENGINE = Dashboard(
    "review-engine",
    "Reviews: the engine",
    "The first row is there with every engine, its panels on KV cache and requests only where the engine tells. The "
    "second is vLLM's own page: of the process itself with `ENGINE=vllm`, of the server with `ENGINE=openai`. The "
    "third needs a GPU.",
    (SEEN, VLLM, GPU),
)
