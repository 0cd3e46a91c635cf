"""The search of `bm25.py` compiled by numba (extra `numba`): the same passages, the same scores, sooner.

numpy pays for every call; a query of five rare words is thirty calls and a few thousand postings. Imported
only by `BM25Index(..., compiled=True)`. The first search of a machine compiles for some seconds; the result
is kept beside this file.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

_MARGIN = 1 + 1e-6  # as in bm25.py
_PROBE_COST = 40  # a look into a list of postings costs as much as adding so many of them
_ONE, _LEAST = np.float32(1), np.finfo(np.float32).smallest_subnormal


@numba.njit(cache=True)
def search_batch(
    query_starts: np.ndarray,  # (queries + 1,): the terms of each query, by what they can add, most first
    terms: np.ndarray,  # (terms,)
    mentions: np.ndarray,  # (terms,) float32
    weights: np.ndarray,  # (terms,) float32, mentions times idf
    bounds: np.ndarray,  # (terms,) float64, the most each can add
    k: int,
    starts: np.ndarray,  # of the index: `bm25_build.py` tells their shapes
    documents: np.ndarray,
    counts: np.ndarray,
    impacts: np.ndarray,
    lengths: np.ndarray,
    length_weights: np.ndarray,
    ranks: np.ndarray,
    scores: np.ndarray,  # (passages,) float64, zeros before and after
    touched: np.ndarray,  # (passages,) int32, room for numbers
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How many were found, their numbers and scores.  # (queries,), (queries, k), (queries, k)"""
    num_queries = len(query_starts) - 1
    found = np.zeros(num_queries, dtype=np.int64)
    best, best_scores = np.zeros((num_queries, k), np.int32), np.zeros((num_queries, k), np.float32)
    leading = np.zeros(k, np.float64)
    for query in range(num_queries):
        first, last = query_starts[query], query_starts[query + 1]
        rest, rest_size = 0.0, 0
        for index in range(first, last):
            rest += bounds[index]
            rest_size += starts[terms[index] + 1] - starts[terms[index]]
        num_touched, num_candidates, closed = 0, 0, False
        for index in range(first, last):
            start, end = starts[terms[index]], starts[terms[index] + 1]
            if num_candidates >= k and rest_size > num_candidates:
                least = _least_of_best(touched, num_candidates, scores, leading)
                if closed or least > rest * _MARGIN:  # no passage that is not met can still be among the best
                    closed = True
                    num_candidates = _keep(touched, num_candidates, scores, least / _MARGIN - rest * _MARGIN)
            rest -= bounds[index]
            rest_size -= end - start
            once, weight = mentions[index] == _ONE, weights[index]
            if closed and num_candidates * _PROBE_COST < end - start:
                for place in range(num_candidates):
                    number = touched[place]
                    at = _find(documents, number, start, end)
                    if at < end and documents[at] == number:
                        weight_of_length = length_weights[lengths[number]]
                        scores[number] += (
                            impacts[at] if once else _impact(weight, counts[at], weight_of_length)
                        )
                continue
            for at in range(start, end):
                number = documents[at]
                if scores[number] == 0:
                    if closed:
                        continue
                    touched[num_touched] = number
                    num_touched += 1
                scores[number] += (
                    impacts[at] if once else _impact(weight, counts[at], length_weights[lengths[number]])
                )
            if not closed:
                num_candidates = num_touched
        row, row_scores, count = best[query], best_scores[query], 0
        for place in range(num_candidates):
            number = touched[place]
            score = np.float32(scores[number])
            if count < k or score >= row_scores[k - 1]:  # most are not: a call costs more than this
                count = _insert(number, score, row, row_scores, count, ranks)
        found[query] = count
        for place in range(num_touched):
            scores[touched[place]] = 0
    return found, best, best_scores


@numba.njit(cache=True)
def _impact(weight: Any, count: Any, length_weight: Any) -> np.float32:
    score = weight - weight / (_ONE + np.float32(count) * length_weight)
    return max(score, _LEAST)


@numba.njit(cache=True)
def _find(documents: np.ndarray, number: int, start: Any, end: Any) -> int:
    """Where a passage is in ascending postings, or the next one."""
    while start < end:
        middle = (start + end) // 2
        if documents[middle] < number:
            start = middle + 1
        else:
            end = middle
    return start


@numba.njit(cache=True)
def _least_of_best(touched: np.ndarray, count: int, scores: np.ndarray, leading: np.ndarray) -> float:
    """The last of the best scores so far, as many as there is room for in `leading`."""
    leading[:] = 0
    last = len(leading) - 1
    for index in range(count):
        score = scores[touched[index]]
        if score > leading[last]:
            place = last
            while place > 0 and score > leading[place - 1]:
                leading[place] = leading[place - 1]
                place -= 1
            leading[place] = score
    return leading[last]


@numba.njit(cache=True)
def _keep(touched: np.ndarray, count: int, scores: np.ndarray, least: float) -> int:
    """Brings the passages that have at least this score to the front; the others stay behind them."""
    kept = 0
    for place in range(count):
        number = touched[place]
        if scores[number] >= least:
            touched[place], touched[kept] = touched[kept], number
            kept += 1
    return kept


@numba.njit(cache=True)
def _insert(
    number: int, score: np.float32, best: np.ndarray, best_scores: np.ndarray, count: int, ranks: np.ndarray
) -> int:
    """Keeps the best so far in order, larger scores first, then smaller ranks; how many there are."""
    k = len(best)
    if count == k:
        if score < best_scores[k - 1] or (score == best_scores[k - 1] and ranks[number] > ranks[best[k - 1]]):
            return count
        place = k - 1
    else:
        place = count
        count += 1
    while place > 0 and (
        score > best_scores[place - 1]
        or (score == best_scores[place - 1] and ranks[number] < ranks[best[place - 1]])
    ):
        best[place], best_scores[place] = best[place - 1], best_scores[place - 1]
        place -= 1
    best[place], best_scores[place] = number, score
    return count
