/* A node that lost its disk rejoins: two holders are never valid at once, and fences do not go back.
 *
 * Such a node stays silent for SILENCE ticks, reads twice what enough peers hold, adopts it, and serves. A minority loses
 * its disk at a time; connections to it break, yet an answer it gave may still arrive. Client 0 wants a ttl longer than
 * the silence: it acquires with the first one, and holds when a majority confirmed the long one of late. Renewals are
 * answered late or never sent: whoever takes no step is cut off, or pauses.
 * Whoever stands in line may be next. FENCES: grants are numbered, and so bounded.
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

/* THE INVARIANTS: whoever is valid became a holder last of all; and a holder's fence exceeds those of all before. */
#define counts(p) (grant[p] > RECORDED)
#define quorum(c) (counts(P(c, 0)) + counts(P(c, 1)) + counts(P(c, 2)) >= MAJORITY)
#define exclusive(c) (!(phase[c] == HELD && quorum(c)) || last_holder == c + 1)
#define rises(fence) (fence > last_fence)

/* Coordinators */
#define IDLE 0
#define WAITING 1
#define HELD 2
#define DONE 3
byte phase[CLIENTS];
#define RECORDED 1                /* known, but its bound does not lie ahead: it does not count */
byte grant[PAIRS];                /* 0: none; RECORDED + ticks until its bound */
byte fresh[PAIRS];                /* ticks for which the word of a node for the long ttl is of late */
byte last_holder;                 /* client + 1; read by the invariant only, as is the next */
byte last_fence;

/* Nodes */
byte lease[NODES];                /* 0: none; client + 1 */
byte left[NODES];                 /* ticks until its deadline */
bool is_long[NODES];              /* its full ttl */
byte adopted[PAIRS];              /* ticks until the deadline of a lease that peers told of; 0: none */
bool adopted_long[PAIRS];
bool line[PAIRS];
#define SERVING 0
#define SILENT 1
byte state[NODES];
byte silent[NODES];               /* ticks until the silence may end */
byte first[NODES];                /* peers read for the first time, a bit each */
byte second[NODES];
byte since[NODES];                /* ticks since the first of them was */
byte found[PAIRS];                /* what was read of this client's lease: 0 nothing, 1 its first ttl, 2 the long one */

/* Answers under way, at most one of a pair */
#define GRANTED 1
#define RENEWED 2
byte down[PAIRS];
bool for_long[PAIRS];             /* it gives the long ttl */
byte echo[PAIRS];                 /* ticks ago */
byte answers;
byte losses = LOSSES;

#ifdef FENCES
byte mark[NODES];
byte fence[PAIRS];                /* of a recorded grant */
byte told[PAIRS];                 /* that of a grant under way */
byte floor[NODES];                /* the largest that was read */
#endif

hidden byte i, j, ttl, top, standing;

#define wants_long(c) ((c) < LONGS)
#define serves(n) (state[n] == SERVING)
#define others_serve(n) (serves((n + 1) % NODES) && serves((n + 2) % NODES))
#define larger(a, b) ((a) > (b) -> (a) : (b))
#define bits(mask) (((mask) & 1) + ((mask) >> 1 & 1) + ((mask) >> 2 & 1))
#define can_answer(p) (answers < ANSWERS && !down[p])

/* What a node does */

inline answer(p, kind, gives_long)
{
    answers++;
    down[p] = kind;
    for_long[p] = gives_long
}

inline unanswer(p)
{
    answers--;
    down[p] = 0;
    for_long[p] = false;
    echo[p] = 0
}

inline drop(n)
{
    lease[n] = 0;
    left[n] = 0;
    is_long[n] = false
}

inline drop_adopted(p)
{
    adopted[p] = 0;
    adopted_long[p] = false
}

/* A new grant stands for what was adopted of the same token. */
inline give(c, n)
{
#ifdef LONG_AT_ONCE
    is_long[n] = wants_long(c);
#else
    is_long[n] = wants_long(c) && phase[c] == HELD;
#endif
    lease[n] = c + 1;
    left[n] = larger((is_long[n] -> LONG : FIRST), adopted[P(c, n)]);
    answer(P(c, n), GRANTED, is_long[n]);
    is_long[n] = is_long[n] || adopted_long[P(c, n)];
    drop_adopted(P(c, n));
#ifdef FENCES
    mark[n]++;
    told[P(c, n)] = mark[n];
#endif
    line[P(c, n)] = false
}

inline renew(c, n, gives_long)
{
    ttl = (gives_long -> LONG : FIRST);
    if
    :: lease[n] == c + 1 ->
        left[n] = larger(left[n], ttl);
        is_long[n] = is_long[n] || gives_long;
        answer(P(c, n), RENEWED, gives_long)
    :: adopted[P(c, n)] ->
        adopted[P(c, n)] = larger(adopted[P(c, n)], ttl);
        adopted_long[P(c, n)] = adopted_long[P(c, n)] || gives_long;
        answer(P(c, n), RENEWED, gives_long)
    :: lease[n] != c + 1 && !adopted[P(c, n)] && !line[P(c, n)] -> forget(P(c, n)); line[P(c, n)] = true    /* lost */
    :: else
    fi
}

/* How a node that may have forgotten grants comes to serve */

inline lose_disk(n)
{
    drop(n);
    for (i : 0 .. CLIENTS - 1) {
        line[P(i, n)] = false;
        drop_adopted(P(i, n))
    }
#ifdef FENCES
    mark[n] = 0;
#endif
    silent[n] = SILENCE;
    state[n] = SILENT
}

inline begin_again(n)
{
    first[n] = 0;
    second[n] = 0;
    since[n] = 0
}

inline take_report(n, m)
{
    for (i : 0 .. CLIENTS - 1) {
        if
        :: lease[m] == i + 1 -> found[P(i, n)] = larger(found[P(i, n)], 1 + is_long[m])
        :: adopted[P(i, m)] -> found[P(i, n)] = larger(found[P(i, n)], 1 + adopted_long[P(i, m)])
        :: else
        fi
    }
#ifdef FENCES
    floor[n] = larger(floor[n], mark[m]);
#endif
    skip
}

inline read(n, m)
{
    take_report(n, m);
    if
    :: first[n] && since[n] > WINDOW -> begin_again(n)
    :: else
    fi;
    if
    :: bits(first[n]) < NEEDED -> first[n] = first[n] | (1 << m)
    :: else -> second[n] = second[n] | (first[n] & (1 << m))
    fi
}

#ifdef READ_ONCE
#define is_read(n) (bits(first[n]) >= NEEDED)
#else
#define is_read(n) (bits(second[n]) >= NEEDED)
#endif

inline serve(n)
{
    for (i : 0 .. CLIENTS - 1) {
#ifndef NO_ADOPTION
        adopted[P(i, n)] = (found[P(i, n)] -> (found[P(i, n)] > 1 -> LONG : FIRST) : 0);
        adopted_long[P(i, n)] = (found[P(i, n)] > 1);
#endif
        found[P(i, n)] = 0;
#ifndef QUEUED_KEEPS_GRANT
        if
        :: phase[i] == WAITING -> forget(P(i, n))   /* it stands in line, and is told so before its renewals are answered */
        :: else
        fi
#endif
    }
    begin_again(n);
#ifdef FENCES
#ifndef FLOOR_FORGOTTEN
    mark[n] = floor[n];
#endif
    floor[n] = 0;
#endif
    state[n] = SERVING
}

/* What a coordinator does */

inline forget(p)
{
    grant[p] = 0;
#ifdef FENCES
    fence[p] = 0;
#endif
    fresh[p] = 0
}

inline confirm(p, lasts) { grant[p] = larger(grant[p], RECORDED + (lasts > echo[p] -> lasts - echo[p] : 0)) }

inline apply(c, p)
{
    if
    :: down[p] == GRANTED ->
        grant[p] = RECORDED;
#ifdef FENCES
        fence[p] = told[p];
        told[p] = 0;
#endif
        confirm(p, (for_long[p] -> LONG : FIRST))
    :: down[p] == RENEWED && grant[p] && for_long[p] && phase[c] == WAITING ->
        confirm(p, FIRST);
        fresh[p] = larger(fresh[p], (FIRST > echo[p] -> FIRST - echo[p] : 0))
    :: down[p] == RENEWED && grant[p] && !(for_long[p] && phase[c] == WAITING) ->
        confirm(p, (for_long[p] -> LONG : FIRST))
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
#define has_full_ttl(c) (!wants_long(c) || (fresh[P(c, 0)] > 0) + (fresh[P(c, 1)] > 0) + (fresh[P(c, 2)] > 0) >= MAJORITY)
#endif

/* From now on the long ttl is relied on, where a node gave its word for it. */
inline hold(c)
{
#ifdef FENCES
    assert(rises(top));
    last_fence = top;
#endif
    for (i : P(c, 0) .. P(c, NODES - 1)) {
        grant[i] = (fresh[i] -> larger(grant[i], RECORDED + fresh[i] + LONG - FIRST) : grant[i]);
        fresh[i] = 0
    }
    last_holder = c + 1;
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

inline end(c)
{
    for (i : P(c, 0) .. P(c, NODES - 1)) {
        forget(i);
        line[i] = false;
        if
        :: down[i] -> unanswer(i)
        :: else
        fi
    }
    phase[c] = DONE
}

inline receive(c, p)
{
    if
    :: phase[c] == HELD && !quorum(c) -> end(c)
    :: else ->
        apply(c, p);
        if
        :: phase[c] == WAITING && quorum(c) -> decide(c)
        :: else
        fi;
        unanswer(p)
    fi
}

/* Time */

#define tick(x) x = (x -> x - 1 : 0)

inline tick_of_pair(p)
{
    grant[p] = (grant[p] > RECORDED -> grant[p] - 1 : grant[p]);
    tick(fresh[p]);
    echo[p] = (down[p] && echo[p] < LONG -> echo[p] + 1 : echo[p]);
    tick(adopted[p]);
    adopted_long[p] = adopted_long[p] && adopted[p]
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

#define p _pid
#define c (_pid / NODES)
#define n (_pid % NODES)
#define asks(c) (phase[c] == WAITING || phase[c] == HELD)
#define kept_out(c, n) (lease[n] && lease[n] != c + 1 || adopted[P(1 - c, n)])
#ifdef FENCES
#define may_give(n) (mark[n] < FENCES)
#else
#define may_give(n) true
#endif

active [PAIRS] proctype Pair()
{
    do
    :: d_step { down[p] -> receive(c, p) }
    :: d_step { down[p] && !serves(n) -> unanswer(p) }
    :: d_step { asks(c) && !grant[p] && !line[p] && !down[p] && lease[n] != c + 1 -> line[p] = true }
    :: d_step { grant[p] && serves(n) && can_answer(p) -> renew(c, n, wants_long(c) && (phase[c] == HELD || quorum(c))) }
    :: d_step { line[p] && serves(n) && !kept_out(c, n) && can_answer(p) && may_give(n) -> give(c, n) }
    :: d_step { phase[c] == DONE && adopted[p] -> drop_adopted(p) }
    :: d_step { phase[c] == DONE && lease[n] == c + 1 -> drop(n) }
    od
}

#undef p
#undef c
#undef n
#define c (_pid - PAIRS)

active [CLIENTS] proctype Coordinator()
{
    d_step { phase[c] == IDLE -> phase[c] = WAITING };
    d_step { asks(c) -> end(c) }
}

#undef c
#define n (_pid - PAIRS - CLIENTS)

active [NODES] proctype Node()
{
    do
    :: d_step { losses && serves(n) && others_serve(n) -> losses--; lose_disk(n) }
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
        skip
    }
    od
}

active proctype Invariant()
{
    !(exclusive(0) && exclusive(1)) -> assert(false)
}
