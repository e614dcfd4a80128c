/* A node that lost its disk rejoins: two holders are never valid at once, and fences do not go back.
 *
 * Such a node stays silent for SILENCE ticks, reads twice what enough peers hold, adopts it, and serves. A minority
 * loses its disk at a time; connections to it break, yet an answer it gave may still arrive. Client 0 wants a ttl longer
 * than the silence: it acquires with the first one, and holds when a majority confirmed the long one of late. Renewals are
 * answered late or never sent: whoever takes no step is cut off, or pauses. Whoever asks may be next at any node, and a
 * holder whose validity ends is over within the same tick.
 * FENCES: grants are numbered, and so bounded; holders release.
 * Not here: yields, shared locks, pages of a report, requests on their way, and the word that the cluster is new.
 */
#define NODES 3
#define MAJORITY (NODES / 2 + 1)
#define CLIENTS 2
#ifndef LONGS
#define LONGS 1                   /* of the clients, the first ones want the long ttl */
#endif
#ifndef FIRST
#define FIRST 2
#endif
#ifndef LONG
#define LONG 4
#endif
#ifndef ANSWERS
#define ANSWERS 1                 /* under way at once, in the whole cluster */
#endif
#ifndef LOSSES
#define LOSSES 1
#endif
#ifdef NO_SILENCE
#define SILENCE 0
#else
#define SILENCE FIRST
#endif
#define WINDOW (FIRST / 2)        /* the second reading ends within this of the first */
#ifdef ONE_REPORT
#define NEEDED 1
#else
#define NEEDED (NODES - MAJORITY + 1)
#endif
#define PAIRS (CLIENTS * NODES)
#define P(c, n) ((c) * NODES + (n))

/* THE INVARIANTS: nobody becomes a holder beside a valid one, nor with a fence that does not exceed all before. */
#define counts(p) (grant[p] > RECORDED)
#define quorum(c) (counts(P(c, 0)) + counts(P(c, 1)) + counts(P(c, 2)) >= MAJORITY)
#define rises(fence) (fence > last_fence)

/* Coordinators */
#define WAITING 0
#define HELD 1
#define DONE 2
byte phase[CLIENTS];
#define RECORDED 1                /* known, but its bound does not lie ahead: it does not count */
byte grant[PAIRS];                /* 0: none; RECORDED + ticks until its bound */
byte fresh[PAIRS];                /* ticks for which the word of a node for the long ttl is of late */
bool stale[PAIRS];                /* the node lost its disk, and has said nothing since that arrived */

/* Nodes */
byte lease[NODES];                /* 0: none; client + 1 */
byte left[NODES];                 /* ticks until its deadline */
bool is_long[NODES];              /* its full ttl */
byte adopted[PAIRS];              /* ticks until the deadline of a lease that peers told of; 0: none */
bool adopted_long[PAIRS];
#define SERVING 0
#define SILENT 1
byte state[NODES];
byte silent[NODES];               /* ticks until the silence may end */
byte first[NODES];                /* peers read for the first time, a bit each */
byte second[NODES];
byte since[NODES];                /* ticks since the first of them was */
byte found[PAIRS];                /* what was read of this client's lease: 0 nothing, 1 its first ttl, 2 the long one */
bool is_told[PAIRS];              /* a peer's lease that the one who rejoins was told of: it is told once */

/* Answers under way, at most one of a pair */
#define GRANTED 1
#define RENEWED 2
byte down[PAIRS];
bool for_long[PAIRS];             /* it gives the long ttl */
byte echo[PAIRS];                 /* ticks ago, as far as that matters */
byte answers;
byte losses = LOSSES;

#ifdef FENCES
byte last_fence;                  /* read by the invariant only */
byte mark[NODES];
byte fence[PAIRS];                /* of a recorded grant of one who waits */
byte told[PAIRS];                 /* that of a grant under way */
byte floor[NODES];                /* the largest that was read */
#endif

hidden byte i, j, ttl, top, standing;

#define wants_long(c) ((c) < LONGS)
#define holds_long(c) (wants_long(c) && phase[c] == HELD)
#define asks(c) (phase[c] != DONE)
#define serves(n) (state[n] == SERVING)
#define others_serve(n) (serves((n + 1) % NODES) && serves((n + 2) % NODES))
#define larger(a, b) ((a) > (b) -> (a) : (b))
#define bits(mask) (((mask) & 1) + ((mask) >> 1 & 1) + ((mask) >> 2 & 1))
#define can_answer(p) (answers < ANSWERS && !down[p])
#define lasts(p) (for_long[p] -> LONG : FIRST)

#include "rejoin_node.inc"

/* What a coordinator does */

#ifdef SHORT_GRANT_COUNTS
#define too_short(c, p) false
#else
#define too_short(c, p) (holds_long(c) && !for_long[p])
#endif

inline forget(p)
{
    grant[p] = 0;
#ifdef FENCES
    fence[p] = 0;
#endif
    fresh[p] = 0
}

inline end(c)
{
    for (i : P(c, 0) .. P(c, NODES - 1)) {
        forget(i);
        stale[i] = false;
        if
        :: down[i] -> unanswer(i)
        :: else
        fi
    }
    phase[c] = DONE
}

inline end_if_invalid(c)
{
    if
    :: phase[c] == HELD && !quorum(c) -> end(c)
    :: else
    fi
}

/* Whoever waits acquires again before it renews, and whatever else the answer says, the grant of before is over. */
inline reconnect(c, p)
{
    if
    :: down[p] -> unanswer(p)
    :: else
    fi;
#ifndef STALE_GRANT_STAYS
    if
    :: phase[c] == WAITING -> forget(p)
    :: else
    fi;
#endif
    stale[p] = false
}

inline confirm(p, ticks) { grant[p] = larger(grant[p], RECORDED + (ticks > echo[p] -> ticks - echo[p] : 0)) }

inline apply(c, p)
{
    if
    :: down[p] == GRANTED && too_short(c, p) -> forget(p)    /* released there, and acquired for the long one */
    :: down[p] == GRANTED && !too_short(c, p) ->
        grant[p] = RECORDED;
#ifdef FENCES
        fence[p] = (phase[c] == WAITING -> told[p] : 0);
#endif
        confirm(p, lasts(p))
    :: down[p] == RENEWED && grant[p] && for_long[p] && phase[c] == WAITING ->
        confirm(p, FIRST);
        fresh[p] = larger(fresh[p], (FIRST > echo[p] -> FIRST - echo[p] : 0))
    :: down[p] == RENEWED && grant[p] && !(for_long[p] && phase[c] == WAITING) ->
        confirm(p, lasts(p))
    :: else
    fi
}

/* Sets `standing` to the nodes that stand at the largest fence; those that can be raised are. */
inline raise(c)
{
    standing = counts(P(c, 0)) + counts(P(c, 1)) + counts(P(c, 2));
#ifdef FENCES
    top = 0;
    for (i : 0 .. NODES - 1) { top = (counts(P(c, i)) && fence[P(c, i)] > top -> fence[P(c, i)] : top) }
    for (i : 0 .. NODES - 1) {
        if
        :: counts(P(c, i)) && fence[P(c, i)] < top && serves(i) && (lease[i] == c + 1 || adopted[P(c, i)]) ->
            mark[i] = larger(mark[i], top);
            fence[P(c, i)] = top
        :: counts(P(c, i)) && fence[P(c, i)] < top && !(serves(i) && (lease[i] == c + 1 || adopted[P(c, i)])) ->
            standing--
        :: else
        fi
    }
#endif
    skip
}

#ifdef LONG_AT_ONCE
#define has_full_ttl(c) true
#else
#define words(c) ((fresh[P(c, 0)] > 0) + (fresh[P(c, 1)] > 0) + (fresh[P(c, 2)] > 0))
#define has_full_ttl(c) (!wants_long(c) || words(c) >= MAJORITY)
#endif

/* From now on the long ttl is relied on, where a node gave its word for it. */
inline hold(c)
{
    if
    :: phase[1 - c] == HELD -> assert(false)
    :: else
    fi;
#ifdef FENCES
    assert(rises(top));
    last_fence = top;
#endif
    for (i : P(c, 0) .. P(c, NODES - 1)) {
        grant[i] = (fresh[i] -> larger(grant[i], RECORDED + fresh[i] + LONG - FIRST) : grant[i]);
#ifdef FENCES
        fence[i] = 0;
#endif
        fresh[i] = 0
    }
    phase[c] = HELD
}

inline decide(c)
{
    raise(c);
    if
    :: standing >= MAJORITY && has_full_ttl(c) -> hold(c)
    :: else
    fi
}

inline receive(c, p)
{
    apply(c, p);
    unanswer(p);
    if
    :: phase[c] == WAITING && quorum(c) -> decide(c)
    :: else
    fi;
    end_if_invalid(c)
}

/* Time */

#define tick(x) x = (x -> x - 1 : 0)

inline tick_of_pair(p)
{
    grant[p] = (grant[p] > RECORDED -> grant[p] - 1 : grant[p]);
    tick(fresh[p]);
    echo[p] = (down[p] && echo[p] < lasts(p) -> echo[p] + 1 : echo[p]);
    if
    :: adopted[p] > 1 -> adopted[p]--
    :: adopted[p] == 1 -> drop_adopted(p)
    :: else
    fi
}

inline tick_of_node(n)
{
    tick(silent[n]);
    since[n] = (first[n] && since[n] <= WINDOW -> since[n] + 1 : since[n]);
    if
    :: left[n] > 1 -> left[n]--
    :: left[n] == 1 -> drop(n)
    :: else
    fi
}

/* Who stands in line since before it was a holder is granted with the first ttl. */
#ifdef LONG_AT_ONCE
#define at_first(c) wants_long(c)
#else
#define at_first(c) false
#endif
#define kept_out(c, n) (lease[n] == 2 - c || adopted[P(1 - c, n)])
#ifdef FENCES
#define is_numbered(n) (mark[n] < FENCES)
#else
#define is_numbered(n) true
#endif
#define acquires(c, n) (asks(c) && (!grant[P(c, n)] || stale[P(c, n)]))
#define may_give(c, n) (serves(n) && !kept_out(c, n) && can_answer(P(c, n)) && is_numbered(n))
#define may_renew(c, n) (grant[P(c, n)] && !stale[P(c, n)] && serves(n) && can_answer(P(c, n)))
#define asks_long(c) (wants_long(c) && (phase[c] == HELD || quorum(c)))

#define p _pid
#define c (_pid / NODES)
#define n (_pid % NODES)

active [PAIRS] proctype Pair()
{
    do
    :: d_step { down[p] -> receive(c, p) }
    :: d_step { down[p] && !serves(n) -> unanswer(p) }
    :: d_step { stale[p] && serves(n) -> reconnect(c, p) }
    :: d_step { may_renew(c, n) -> renew(c, n, asks_long(c)) }
    :: d_step { acquires(c, n) && may_give(c, n) && lease[n] != c + 1 -> give(c, n, at_first(c)) }
    :: d_step { acquires(c, n) && may_give(c, n) && holds_long(c) && !is_long[n] -> give(c, n, true) }
    :: d_step { phase[c] == DONE && adopted[p] -> drop_adopted(p) }
    :: d_step { phase[c] == DONE && lease[n] == c + 1 -> drop(n) }
    od
}

#undef p
#undef c
#undef n
#define c (_pid - PAIRS)

#ifdef FENCES
active [CLIENTS] proctype Holder()
{
    do
    :: d_step { phase[c] == HELD -> end(c) }
    od
}
#define HOLDERS CLIENTS
#else
#define HOLDERS 0
#endif

#undef c
#define n (_pid - PAIRS - HOLDERS)

active [NODES] proctype Node()
{
    do
    :: d_step { losses && serves(n) && others_serve(n) && (n == 0 || losses < LOSSES) -> losses--; lose_disk(n) }
                                  /* the nodes are alike: call the first loser 0 */
    :: d_step { !serves(n) && !silent[n] && serves((n + 1) % NODES) -> read(n, (n + 1) % NODES) }
    :: d_step { !serves(n) && !silent[n] && serves((n + 2) % NODES) -> read(n, (n + 2) % NODES) }
    :: d_step { !serves(n) && !silent[n] && is_read(n) -> serve(n) }
    od
}

#undef n

active proctype Time()
{
    do
    :: d_step {
        for (j : 0 .. PAIRS - 1) { tick_of_pair(j) }
        for (j : 0 .. NODES - 1) { tick_of_node(j) }
        for (j : 0 .. CLIENTS - 1) { end_if_invalid(j) }
        skip
    }
    od
}
