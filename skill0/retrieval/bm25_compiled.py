"""The search of `bm25.py` compiled by numba (extra `numba`): the same passages, the same scores, sooner.

numpy pays for every call; a query of five rare words is thirty calls and a few thousand postings. What costs
here is going to places all over the passages, and most passages have only one word of a query. So one byte
tells of each passage which word it was first met with, and only those met again get a sum. A passage that was
met once is among the best only where its one word adds as much alone, which few words can.

Imported only by `BM25Index(..., compiled=True)`. The first search of a machine compiles for some seconds; the
result is kept beside this file. All is in this one file, for numba does not see that another one has changed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

_MARGIN = 1 + 1e-6  # as in bm25.py
_PROBE_COST = 12  # a look into a list of postings costs as much as going through so many of them
_SMALL = 10_000  # postings that are gone through faster than it is found out whether they could be left out
_ONE, _LEAST = np.float32(1), np.finfo(np.float32).smallest_subnormal


class Postings(NamedTuple):
    """Arrays of the index; `bm25_build.py` tells their shapes."""

    starts: np.ndarray
    documents: np.ndarray
    counts: np.ndarray
    impacts: np.ndarray
    max_impacts: np.ndarray
    idfs: np.ndarray
    lengths: np.ndarray
    length_weights: np.ndarray
    ranks: np.ndarray


class Terms(NamedTuple):
    """The terms of a query, by what they can add, most first."""

    numbers: np.ndarray  # (terms,)
    once: np.ndarray  # (terms,) bool, the query has it once: the impacts of the index hold
    weights: np.ndarray  # (terms,) float32, mentions times idf
    bounds: np.ndarray  # (terms,) float64, the most each can add


class Room(NamedTuple):
    """What a search writes to. The first two are zeros before and after each query."""

    met: np.ndarray  # (passages,) unsigned, which term a passage was first met with, from 1
    scores: np.ndarray  # (passages,) float64, of candidates
    candidates: np.ndarray  # (passages,) int32
    again: np.ndarray  # (passages,) int32, postings of passages met before
    leading: np.ndarray  # (k,) float64, the best scores, largest first


@numba.njit(cache=True)
def search_batch(
    numbers: np.ndarray,  # (words,) int64, of terms, one query after the other, repeated as they are there
    ends: np.ndarray,  # (queries,) int64
    k: int,
    postings: Postings,
    met: np.ndarray,  # (passages,) unsigned, for as many terms as a query has, zeros
    scores: np.ndarray,  # (passages,) float64, zeros before and after
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How many were found, their numbers and scores.  # (queries,), (queries, k), (queries, k)"""
    found = np.zeros(len(ends), np.int64)
    best, best_scores = np.zeros((len(ends), k), np.int32), np.zeros((len(ends), k), np.float32)
    candidates, again = np.empty(len(scores), np.int32), np.empty(len(scores), np.int32)
    room = Room(met, scores, candidates, again, np.zeros(k, np.float64))
    start = 0
    for query, end in enumerate(ends):
        terms = _terms(numbers[start:end], postings)
        count = _candidates(terms, postings, room)
        found[query] = _take(candidates[:count], postings, scores, best[query], best_scores[query])
        start = end
    return found, best, best_scores


@numba.njit(cache=True)
def _terms(words: np.ndarray, postings: Postings) -> Terms:
    """The terms of a query that has these, repeated or not."""
    words = np.sort(words)
    numbers, once = np.empty(len(words), np.int64), np.empty(len(words), np.bool_)
    weights, bounds = np.empty(len(words), np.float32), np.empty(len(words), np.float64)
    count = at = 0
    while at < len(words):
        number, past = words[at], at + 1
        while past < len(words) and words[past] == number:
            past += 1
        bound = (past - at) * np.float64(postings.max_impacts[number]) * _MARGIN
        place = count
        while place > 0 and bound > bounds[place - 1]:
            numbers[place], once[place] = numbers[place - 1], once[place - 1]
            weights[place], bounds[place] = weights[place - 1], bounds[place - 1]
            place -= 1
        numbers[place], once[place], bounds[place] = number, past - at == 1, bound
        weights[place] = np.float32(past - at) * postings.idfs[number]
        count, at = count + 1, past
    return Terms(numbers[:count], once[:count], weights[:count], bounds[:count])


@numba.njit(cache=True)
def _candidates(terms: Terms, postings: Postings, room: Room) -> int:
    """Passages with exact scores, the best k among them; how many."""
    last, k, index = len(terms.numbers), len(room.leading), 0
    rest, rest_size, size, count, least = 0.0, 0, 0, 0, 0.0
    for term in range(last):
        rest += terms.bounds[term]
        rest_size += _length(terms, term, postings)
    while index < last:
        worth_a_look = rest_size > max(size, _SMALL) and rest < terms.bounds[0] * index
        if size >= k and worth_a_look:
            least = _lead(count, terms, index, postings, room)
            if least > rest * _MARGIN:
                break  # no passage that was not met can be among them
        count = _meet(terms, index, postings, room, count)
        length = _length(terms, index, postings)
        rest, rest_size, size = rest - terms.bounds[index], rest_size - length, size + length
        index += 1
    if index == last:
        rest, least = 0.0, _lead(count, terms, index, postings, room)
    _forget(terms, index, size, postings, room.met)
    least = least / _MARGIN - rest * _MARGIN
    count = _keep(count, least, room)
    count = _add_others(terms, index, least, postings, room, count)
    while index < last:
        _add_to(count, terms, index, postings, room)
        rest, index = rest - terms.bounds[index], index + 1
        if index < last and count > k:
            least = _lead(count, terms, 0, postings, room)
            count = _keep(count, least / _MARGIN - rest * _MARGIN, room)
    return count


@numba.njit(cache=True)
def _length(terms: Terms, index: Any, postings: Postings) -> Any:
    return postings.starts[terms.numbers[index] + 1] - postings.starts[terms.numbers[index]]


@numba.njit(cache=True)
def _meet(terms: Terms, index: Any, postings: Postings, room: Room, count: int) -> int:
    """Meets the passages of a term. Those that were met before are candidates, with the sum of what the terms
    so far add; how many candidates there are."""
    starts, documents, scores = postings.starts, postings.documents, room.scores
    start, end = starts[terms.numbers[index]], starts[terms.numbers[index] + 1]
    for at in range(start, start + _meet_again(documents[start:end], index + 1, room.met, room.again)):
        place = start + room.again[at - start]
        number = np.uint32(documents[place])
        if scores[number] == 0:
            room.candidates[count] = number
            count += 1
            before = room.met[number] - 1
            term = terms.numbers[before]
            place_before = _find(documents, number, starts[term], starts[term + 1])
            scores[number] = _added(terms, before, postings, place_before)
        scores[number] += _added(terms, index, postings, place)
    return count


@numba.njit(cache=True)
def _meet_again(documents: np.ndarray, mark: Any, met: np.ndarray, again: np.ndarray) -> int:
    """Marks passages that were not met, and puts the others' places in the list aside; how many. A loop of
    its own, for with more in it the compiler makes it slow."""
    count = 0
    for at in range(len(documents)):
        number = np.uint32(documents[at])
        if met[number] == 0:
            met[number] = mark
        else:
            again[count] = at
            count += 1
    return count


@numba.njit(cache=True)
def _forget(terms: Terms, past: Any, size: int, postings: Postings, met: np.ndarray) -> None:
    """Wipes out that passages were met with the first terms, which have so many postings."""
    if 64 * size > len(met):
        met[:] = 0
        return
    for term in terms.numbers[:past]:
        for at in range(postings.starts[term], postings.starts[term + 1]):
            met[np.uint32(postings.documents[at])] = 0


@numba.njit(cache=True)
def _lead(count: int, terms: Terms, past: Any, postings: Postings, room: Room) -> float:
    """The last of the k best scores so far: of candidates, and of passages with one of the first terms."""
    scores, leading = room.scores, room.leading
    leading[:] = 0
    for number in room.candidates[:count]:
        if scores[number] > leading[-1]:
            _join(scores[number], leading)
    for index in range(past):
        if terms.bounds[index] <= leading[-1]:
            break
        term = terms.numbers[index]
        for at in range(postings.starts[term], postings.starts[term + 1]):
            score = _added(terms, index, postings, at)
            if score > leading[-1] and scores[postings.documents[at]] == 0:
                _join(score, leading)
    return leading[-1]


@numba.njit(cache=True)
def _join(score: Any, leading: np.ndarray) -> None:
    """Puts a score that is larger than the last to its place among the best."""
    place = len(leading) - 1
    while place > 0 and score > leading[place - 1]:
        leading[place] = leading[place - 1]
        place -= 1
    leading[place] = score


@numba.njit(cache=True)
def _keep(count: int, least: float, room: Room) -> int:
    """Brings the candidates with at least this score to the front, and wipes out the others' scores."""
    kept = 0
    for number in room.candidates[:count]:
        if room.scores[number] >= least:
            room.candidates[kept] = number
            kept += 1
        else:
            room.scores[number] = 0
    return kept


@numba.njit(cache=True)
def _add_others(terms: Terms, past: Any, least: float, postings: Postings, room: Room, count: int) -> int:
    """Adds the passages with only one of the first terms and at least this score to the candidates; how many.
    A candidate that had less is not taken for one of them: each of its terms adds less still."""
    for index in range(past):
        if terms.bounds[index] < least:
            break
        term = terms.numbers[index]
        for at in range(postings.starts[term], postings.starts[term + 1]):
            score = _added(terms, index, postings, at)
            number = postings.documents[at]
            if score >= least and room.scores[number] == 0:
                room.scores[number] = score
                room.candidates[count] = number
                count += 1
    return count


@numba.njit(cache=True)
def _add_to(count: int, terms: Terms, index: Any, postings: Postings, room: Room) -> None:
    """Adds a term to the scores of candidates alone, which are all that are not zero."""
    documents, scores = postings.documents, room.scores
    start, end = postings.starts[terms.numbers[index]], postings.starts[terms.numbers[index] + 1]
    if count * _PROBE_COST < end - start:
        for number in room.candidates[:count]:
            at = _find(documents, number, start, end)
            if at >= 0:
                scores[number] += _added(terms, index, postings, at)
        return
    for at in range(start, end):
        if scores[documents[at]] > 0:
            scores[documents[at]] += _added(terms, index, postings, at)


@numba.njit(cache=True)
def _added(terms: Terms, index: Any, postings: Postings, at: Any) -> Any:
    """What a term adds to the passage of a posting."""
    if terms.once[index]:
        return postings.impacts[at]
    length_weight = postings.length_weights[postings.lengths[postings.documents[at]]]
    return _impact(terms.weights[index], postings.counts[at], length_weight)


@numba.njit(cache=True)
def _impact(weight: Any, count: Any, length_weight: Any) -> Any:
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
def _take(
    candidates: np.ndarray, postings: Postings, scores: np.ndarray, best: np.ndarray, best_scores: np.ndarray
) -> int:
    """The best candidates; how many. All scores are zero afterwards."""
    count, k = 0, len(best)
    for number in candidates:
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


@numba.njit(cache=True)
def find_terms(
    hashes: np.ndarray,  # (terms of the index,) uint64, ascending
    starts: np.ndarray,  # (terms of the index + 1,), of their texts
    texts: np.ndarray,  # (bytes,) uint8
    wanted: np.ndarray,  # (terms,) uint64
    wanted_lengths: np.ndarray,  # (terms,)
    wanted_texts: np.ndarray,  # (bytes,) uint8
) -> np.ndarray:
    """The numbers of the wanted terms, -1 for what the index does not have.  # (terms,)"""
    numbers = np.full(len(wanted), -1, np.int64)
    start = 0
    for index, length in enumerate(wanted_lengths):
        place = _search_hash(hashes, wanted[index])
        if place < len(hashes) and starts[place + 1] - starts[place] == length:
            at = 0
            while at < length and texts[starts[place] + at] == wanted_texts[start + at]:
                at += 1
            if at == length:
                numbers[index] = place
        start += length
    return numbers


@numba.njit(cache=True)
def _search_hash(hashes: np.ndarray, wanted: Any) -> Any:
    """Where a hash is, or would be. They are spread evenly: it is sought near where it must be, in steps that
    double, and the last step is halved."""
    size = len(hashes)
    low = min(size - 1, int(wanted * (size / 2.0**64)))
    step = 16
    if hashes[low] < wanted:
        high = low + step
        while high < size and hashes[high] < wanted:
            low, step = high, 2 * step
            high = low + step
        low, high = low + 1, min(high, size)
    else:
        high = low
        low = high - step
        while low >= 0 and hashes[low] >= wanted:
            high, step = low, 2 * step
            low = high - step
        low = max(low + 1, 0)
    while low < high:
        middle = (low + high) // 2
        if hashes[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low
