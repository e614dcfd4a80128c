/* A node with a journal forgets nothing it told: whenever it is killed, two holders are never valid at once, and fences
 * do not go back.
 *
 * One node (a cluster of one), ACQUISITIONS acquisitions, time in ticks. Whatever was decided since the last commit
 * shares the next one; answers that give or extend leave when theirs is synced. A kill keeps what is on disk, or also
 * what the running commit was writing; the machine may boot anew, and then deadlines mean nothing. Whoever stands in line
 * may be next. Grants are numbered by their fences, and so bounded.
 */
#ifndef ACQUISITIONS
#define ACQUISITIONS 3
#endif
#ifndef TTL
#define TTL 2
#endif
#ifndef FENCES
#define FENCES 4
#endif
#ifndef KILLS
#define KILLS 2
#endif

/* THE INVARIANTS: whoever is valid became a holder last of all; and a holder's fence exceeds those of all before. */
#define valid(a) (phase[a] == HELD && grant[a] > RECORDED)
#define exclusive(a) (!valid(a) || last_holder == (a) + 1)
#define rises(fence) (fence > last_fence)

/* Acquisitions */
#define IDLE 0
#define WAITING 1
#define HELD 2
#define DONE 3
byte phase[ACQUISITIONS];
#define RECORDED 1                /* known, but its bound does not lie ahead: it does not count */
byte grant[ACQUISITIONS];         /* 0: none; RECORDED + ticks until its bound */
byte fence[ACQUISITIONS];
byte last_holder;                 /* acquisition + 1; read by the invariant only, as is the next */
byte last_fence;

/* What the node knows, what the running commit writes, and what is on disk */
#define MEMORY 0
#define COMMIT 1
#define DISK 2
byte lease[3];                    /* 0: none; acquisition + 1 */
byte left[3];                     /* ticks until its deadline */
byte mark[3];                     /* the largest fence given */
bool commits;
bool line[ACQUISITIONS];
byte kills = KILLS;

/* Answers, at most one for each: it waits for the next commit, for the running one, or is under way */
#define FOR_NEXT 1
#define FOR_RUNNING 2
#define LEFT 3
byte stage[ACQUISITIONS];
#define GRANTED 1
#define RESENT 2
#define RENEWED 3
byte down[ACQUISITIONS];
byte told[ACQUISITIONS];          /* the fence of a grant */
byte echo[ACQUISITIONS];          /* ticks ago */

hidden byte i;

/* What the node does */

inline answer(a, kind)
{
    down[a] = kind;
    told[a] = mark[MEMORY];
#if defined(REPLY_BEFORE_SYNC)
    stage[a] = LEFT
#elif defined(RENEWAL_NOT_SYNCED)
    stage[a] = (kind == RENEWED -> LEFT : FOR_NEXT)
#else
    stage[a] = FOR_NEXT
#endif
}

inline unanswer(a)
{
    down[a] = 0;
    told[a] = 0;
    echo[a] = 0;
    stage[a] = 0
}

inline drop(where)
{
    lease[where] = 0;
    left[where] = 0
}

inline give(a)
{
    lease[MEMORY] = a + 1;
    left[MEMORY] = TTL;
    mark[MEMORY]++;
    line[a] = false;
    answer(a, GRANTED)
}

inline renew(a)
{
    if
    :: lease[MEMORY] == a + 1 -> left[MEMORY] = TTL; answer(a, RENEWED)
    :: else -> grant[a] = 0; fence[a] = 0; line[a] = true       /* lost: it acquires again */
    fi
}

/* The journal: one commit at a time */

#define differs (lease[MEMORY] != lease[DISK] || left[MEMORY] != left[DISK] || mark[MEMORY] != mark[DISK])
#define awaited(a) (stage[a] == FOR_NEXT)

inline copy(from, to)
{
    lease[to] = lease[from];
    left[to] = left[from];
    mark[to] = mark[from]
}

inline begin_commit()
{
    copy(MEMORY, COMMIT);
    for (i : 0 .. ACQUISITIONS - 1) { stage[i] = (stage[i] == FOR_NEXT -> FOR_RUNNING : stage[i]) }
    commits = true
}

inline forget_commit()
{
    drop(COMMIT);
    mark[COMMIT] = 0;
    commits = false
}

inline end_commit()
{
    copy(COMMIT, DISK);
    for (i : 0 .. ACQUISITIONS - 1) {
#ifdef ANSWERS_OF_NEXT_LEAVE
        stage[i] = (stage[i] -> LEFT : 0)
#else
        stage[i] = (stage[i] == FOR_RUNNING -> LEFT : stage[i])
#endif
    }
    forget_commit()
}

/* Answers that had not left are never said. Whoever waits asks again, before anything else it says to the new life. */
inline kill()
{
    forget_commit();
    copy(DISK, MEMORY);
#ifdef MARKS_NOT_IN_JOURNAL
    mark[MEMORY] = 0;
#endif
    for (i : 0 .. ACQUISITIONS - 1) {
        if
        :: stage[i] && stage[i] != LEFT -> unanswer(i)
        :: else
        fi;
        line[i] = (phase[i] == WAITING)
    }
    kills--
}

inline boot_anew()
{
    kill();
#ifdef DEADLINES_OF_ANOTHER_BOOT
    drop(MEMORY);
#else
    left[MEMORY] = (lease[MEMORY] -> TTL : 0);
#endif
    copy(MEMORY, DISK)
}

/* What an acquisition does */

inline confirm(a)
{
    grant[a] = (RECORDED + TTL - echo[a] > grant[a] -> RECORDED + TTL - echo[a] : grant[a]);
    if
    :: phase[a] == WAITING && grant[a] > RECORDED ->
        assert(rises(fence[a]));
        last_fence = fence[a];
        last_holder = a + 1;
        phase[a] = HELD
    :: else
    fi
}

inline apply(a)
{
    if
    :: down[a] == GRANTED -> grant[a] = RECORDED; fence[a] = told[a]; confirm(a)
    :: down[a] == RESENT && (!grant[a] || fence[a] != told[a]) -> grant[a] = RECORDED; fence[a] = told[a]
    :: down[a] == RENEWED && grant[a] -> confirm(a)
    :: else
    fi
}

inline finish(a)
{
    grant[a] = 0;
    fence[a] = 0;
    line[a] = false;
    unanswer(a);
    phase[a] = DONE
}

inline receive(a)
{
    if
    :: phase[a] == HELD && !valid(a) -> finish(a)
    :: else -> apply(a); unanswer(a)
    fi
}

inline tick_of_lease(where)
{
    if
    :: left[where] > 1 -> left[where]--
    :: left[where] == 1 -> drop(where)
    :: else
    fi
}

inline tick_of_acquisition(a)
{
    grant[a] = (grant[a] > RECORDED -> grant[a] - 1 : grant[a]);
    echo[a] = (down[a] && echo[a] < TTL -> echo[a] + 1 : echo[a])
}

#define a _pid
#define granted_before(a) (lease[MEMORY] == (a) + 1)

active [ACQUISITIONS] proctype Acquisition()
{
    do
    :: d_step { phase[a] == IDLE && (a == 0 || phase[a - 1] != IDLE) -> phase[a] = WAITING; line[a] = true }
    :: d_step { phase[a] == WAITING || phase[a] == HELD -> finish(a) }
    :: d_step { line[a] && !down[a] && !lease[MEMORY] && mark[MEMORY] < FENCES -> give(a) }
    :: d_step { line[a] && !down[a] && granted_before(a) -> line[a] = false; answer(a, RESENT) }
    :: d_step { grant[a] && !line[a] && !down[a] -> renew(a) }
    :: d_step { stage[a] == LEFT -> receive(a) }
    :: d_step { phase[a] == DONE && granted_before(a) -> drop(MEMORY) }
    od
}

#undef a

active proctype Journal()
{
    do
    :: d_step { !commits && (differs || awaited(0) || awaited(1) || awaited(ACQUISITIONS - 1)) -> begin_commit() }
    :: d_step { commits -> end_commit() }
    :: d_step { kills -> kill() }
    :: d_step { kills -> boot_anew() }
    :: d_step { kills && commits -> copy(COMMIT, DISK); kill() }
    :: d_step { kills && commits -> copy(COMMIT, DISK); boot_anew() }
    od
}

active proctype Time()
{
    do
    :: d_step {
        for (i : 0 .. ACQUISITIONS - 1) { tick_of_acquisition(i) }
        tick_of_lease(MEMORY);
        tick_of_lease(COMMIT);
        tick_of_lease(DISK)
    }
    od
}

active proctype Invariant()
{
    !(exclusive(0) && exclusive(1) && exclusive(ACQUISITIONS - 1)) -> assert(false)
}
