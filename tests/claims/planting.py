"""Numbers planted so that a claim must be decided in a known way."""

ORIGIN = None


def values(claim):
    """For each measure and arm a value with which everything that the claim expects holds, by half a unit more.

    What is expected are bounds of differences, so the longest paths from the origin are a solution if there is one;
    there is none if expectations contradict each other.
    """
    return {name: solved([each for each in claim.expected if each.measure == name]) for name in claim.measures}


def solved(expected):
    places = {ORIGIN: 0.0}
    edges = []
    for each in expected:
        for end in (each.more, each.less):
            if isinstance(end, float | int):  # lies where it lies
                edges += [(ORIGIN, end, float(end)), (end, ORIGIN, -float(end))]
        edges.append((each.less, each.more, each.margin + 1e-3))
    for _ in range(3 * len(edges) + 1):
        for start, end, gap in edges:
            if start in places:
                places[end] = max(places.get(end, -1e9), places[start] + gap)
        reached = [edge for edge in edges if edge[0] not in places]
        if reached:
            places.setdefault(reached[0][0], -50.0)
    return {arm: value for arm, value in places.items() if isinstance(arm, str)}


def holding(claim, seeds=3):
    """Numbers by which the claim is shown."""
    return {name: {arm: [value] * seeds for arm, value in arms.items()} for name, arms in values(claim).items()}


def noisy(claim):
    """The same on average, but one seed says far more and one far less."""
    found = holding(claim)
    for arms in found.values():
        for place, arm in enumerate(arms):
            arms[arm] = [value + (place + 1) * 1e3 * sign for value, sign in zip(arms[arm], (-1, 0, 1), strict=True)]
    return found


def opposite(claim, number):
    """Numbers that speak clearly against one of the things that the claim expects."""
    found, each = holding(claim), claim.expected[number]
    arms = found[each.measure]
    if isinstance(each.more, str):
        low = each.less if isinstance(each.less, float | int) else arms[each.less][0]
        arms[each.more] = [low + min(each.margin, 0) - 1 - 0.01 * seed for seed in range(3)]
    else:
        arms[each.less] = [each.more - min(each.margin, 0) + 1 + 0.01 * seed for seed in range(3)]
    return found
