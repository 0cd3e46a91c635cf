"""The search of `bm25.py` compiled by numba (extra `numba`): the same passages, the same scores, sooner.

numpy pays for every call; a query of five rare words is thirty calls and a few thousand postings. What costs
here is going to `scores` at places all over it, so that postings are gone through as seldom as can be: once
to add them, once to look at the sums and wipe them out. Imported only by `BM25Index(..., compiled=True)`. The
first search of a machine compiles for some seconds; the result is kept beside this file.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

_MARGIN = 1 + 1e-6  # as in bm25.py
_PROBE_COST = 12  # a look into a list of postings costs as much as going through so many of them
_ONE, _LEAST = np.float32(1), np.finfo(np.float32).smallest_subnormal


class Postings(NamedTuple):
    """Arrays of the index; `bm25_build.py` tells their shapes."""

    starts: np.ndarray
    documents: np.ndarray
    counts: np.ndarray
    impacts: np.ndarray
    lengths: np.ndarray
    length_weights: np.ndarray
    ranks: np.ndarray


@numba.njit(cache=True)
def search_batch(
    query_starts: np.ndarray,  # (queries + 1,): the terms of each query, by what they can add, most first
    terms: np.ndarray,  # (terms,)
    mentions: np.ndarray,  # (terms,) float32
    weights: np.ndarray,  # (terms,) float32, mentions times idf
    bounds: np.ndarray,  # (terms,) float64, the most each can add
    k: int,
    postings: Postings,
    scores: np.ndarray,  # (passages,) float64, zeros before and after
    candidates: np.ndarray,  # (passages,) int32, room for numbers
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How many were found, their numbers and scores.  # (queries,), (queries, k), (queries, k)"""
    num_queries = len(query_starts) - 1
    found = np.zeros(num_queries, dtype=np.int64)
    best, best_scores = np.zeros((num_queries, k), np.int32), np.zeros((num_queries, k), np.float32)
    leading, leaders = np.zeros(k, np.float64), np.zeros(k, np.int32)
    starts = postings.starts
    for query in range(num_queries):
        first, last = query_starts[query], query_starts[query + 1]
        rest, rest_size, size = 0.0, 0, 0
        for index in range(first, last):
            rest += bounds[index]
            rest_size += starts[terms[index] + 1] - starts[terms[index]]
        index, count = first, -1  # -1: any passage may still be among the best
        while index < last:
            if size >= k and rest_size > size and rest < bounds[first] * (index - first):
                least = _least_of_all(terms[first:index], postings, scores, leading, leaders)
                if least > rest * _MARGIN:  # no passage that was not met can be among them
                    least = least / _MARGIN - rest * _MARGIN
                    count = _collect(terms[first:index], postings, scores, least, candidates)
                    break
            _add(terms[index], mentions[index] == _ONE, weights[index], postings, scores)
            length = starts[terms[index] + 1] - starts[terms[index]]
            rest, rest_size, size, index = rest - bounds[index], rest_size - length, size + length, index + 1
        if count < 0:
            found[query] = _take_all(terms[first:last], postings, scores, best[query], best_scores[query])
            continue
        while index < last:
            left = candidates[:count]
            _add_to(left, terms[index], mentions[index] == _ONE, weights[index], postings, scores)
            rest, index = rest - bounds[index], index + 1
            if index < last and count > k:
                least = _least_of(left, scores, leading)
                count = _keep(left, scores, least / _MARGIN - rest * _MARGIN)
        found[query] = _take(candidates[:count], postings, scores, best[query], best_scores[query])
    return found, best, best_scores


@numba.njit(cache=True)
def _add(term: Any, once: bool, weight: Any, postings: Postings, scores: np.ndarray) -> None:
    """Adds a term to the scores of all its passages."""
    start, end = postings.starts[term], postings.starts[term + 1]
    if once:
        for at in range(start, end):
            scores[postings.documents[at]] += postings.impacts[at]
    else:
        for at in range(start, end):
            number = postings.documents[at]
            length_weight = postings.length_weights[postings.lengths[number]]
            scores[number] += _impact(weight, postings.counts[at], length_weight)


@numba.njit(cache=True)
def _least_of_all(
    terms: np.ndarray, postings: Postings, scores: np.ndarray, leading: np.ndarray, leaders: np.ndarray
) -> float:
    """The last of the best scores so far, of as many passages as there is room for in `leading`."""
    leading[:] = 0
    last = len(leading) - 1
    for term in terms:
        for at in range(postings.starts[term], postings.starts[term + 1]):
            number = postings.documents[at]
            score = scores[number]
            if score <= leading[last]:
                continue
            place, is_new = last, True
            while is_new and place > 0 and score >= leading[place - 1]:
                place -= 1  # a passage with two of the terms is met twice
                is_new = score > leading[place] or leaders[place] != number
            if is_new:
                for behind in range(last, place, -1):
                    leading[behind], leaders[behind] = leading[behind - 1], leaders[behind - 1]
                leading[place], leaders[place] = score, number
    return leading[last]


@numba.njit(cache=True)
def _collect(
    terms: np.ndarray, postings: Postings, scores: np.ndarray, least: Any, candidates: np.ndarray
) -> int:
    """The passages with at least this score; how many. Their scores are negative from here on, so that none
    is taken twice, and those of all others zero."""
    count = 0
    for term in terms:
        for at in range(postings.starts[term], postings.starts[term + 1]):
            number = postings.documents[at]
            score = scores[number]
            if score >= least and score > 0:
                candidates[count] = number
                count += 1
                scores[number] = -score
            elif score > 0:
                scores[number] = 0
    return count


@numba.njit(cache=True)
def _add_to(
    candidates: np.ndarray, term: Any, once: bool, weight: Any, postings: Postings, scores: np.ndarray
) -> None:
    """Adds a term to the scores of candidates, which are negative, alone."""
    documents, start, end = postings.documents, postings.starts[term], postings.starts[term + 1]
    looked_up = len(candidates) * _PROBE_COST < end - start
    for step in range(len(candidates) if looked_up else end - start):
        number = candidates[step] if looked_up else documents[start + step]
        if scores[number] >= 0:
            continue
        at = _find(documents, number, start, end) if looked_up else start + step
        if at < 0:
            continue
        if once:
            scores[number] -= postings.impacts[at]
        else:
            length_weight = postings.length_weights[postings.lengths[number]]
            scores[number] -= _impact(weight, postings.counts[at], length_weight)


@numba.njit(cache=True)
def _impact(weight: Any, count: Any, length_weight: Any) -> np.float32:
    score = weight - weight / (_ONE + np.float32(count) * length_weight)
    return max(score, _LEAST)


@numba.njit(cache=True)
def _find(documents: np.ndarray, number: Any, start: Any, end: Any) -> int:
    """Where a passage is in ascending postings, -1 where it is not. Looks where it would be if they were
    spread evenly, and halves what is left when that gains little."""
    low, high = start, end - 1
    while low <= high:
        lowest, highest = documents[low], documents[high]
        if number < lowest or number > highest:
            return -1
        span = high - low
        guess = low + (number - lowest) * span // max(1, highest - lowest)
        if documents[guess] == number:
            return guess
        low, high = (guess + 1, high) if documents[guess] < number else (low, guess - 1)
        if high - low > span // 2:
            middle = (low + high) // 2
            if documents[middle] == number:
                return middle
            low, high = (middle + 1, high) if documents[middle] < number else (low, middle - 1)
    return -1


@numba.njit(cache=True)
def _least_of(candidates: np.ndarray, scores: np.ndarray, leading: np.ndarray) -> float:
    """The last of the best scores of candidates, as many as there is room for in `leading`."""
    leading[:] = 0
    last = len(leading) - 1
    for number in candidates:
        score = -scores[number]
        if score > leading[last]:
            place = last
            while place > 0 and score > leading[place - 1]:
                leading[place] = leading[place - 1]
                place -= 1
            leading[place] = score
    return leading[last]


@numba.njit(cache=True)
def _keep(candidates: np.ndarray, scores: np.ndarray, least: float) -> int:
    """Brings the candidates with at least this score to the front, and wipes out the others' scores."""
    kept = 0
    for number in candidates:
        if -scores[number] >= least:
            candidates[kept] = number
            kept += 1
        else:
            scores[number] = 0
    return kept


@numba.njit(cache=True)
def _take(
    candidates: np.ndarray, postings: Postings, scores: np.ndarray, best: np.ndarray, best_scores: np.ndarray
) -> int:
    """The best candidates; how many. All scores are zero afterwards."""
    count, k = 0, len(best)
    for number in candidates:
        score = np.float32(-scores[number])
        scores[number] = 0
        if count < k or score >= best_scores[k - 1]:
            count = _insert(number, score, best, best_scores, count, postings.ranks)
    return count


@numba.njit(cache=True)
def _take_all(
    terms: np.ndarray, postings: Postings, scores: np.ndarray, best: np.ndarray, best_scores: np.ndarray
) -> int:
    """The best of all passages with one of the terms; how many. All scores are zero afterwards."""
    count, k = 0, len(best)
    for term in terms:
        for at in range(postings.starts[term], postings.starts[term + 1]):
            number = postings.documents[at]
            if scores[number] > 0:
                score = np.float32(scores[number])
                scores[number] = 0
                if count < k or score >= best_scores[k - 1]:  # most are not: a call costs more than this
                    count = _insert(number, score, best, best_scores, count, postings.ranks)
    return count


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
