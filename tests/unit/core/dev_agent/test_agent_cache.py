from connect_proxy.dev_agent.agent_cache import AgentCache


def test_the_first_question_misses_and_the_next_hits_with_its_age() -> None:
    cache = AgentCache()
    assert cache.headers("a") == {"X-Cache": "MISS"}
    assert cache.headers("a") == {"X-Cache": "HIT", "Age": "0"}
    assert cache.headers("b") == {"X-Cache": "MISS"}
