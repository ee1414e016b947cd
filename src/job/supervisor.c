/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Read from dv_supervisor_run(): wait for what any child or anyone else has to say, step the
 * errands, look() for new ones in the store.
 */

#include "job/supervisor.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "job/admission.h"
#include "job/context.h"
#include "job/errand.h"
#include "job/intake.h"
#include "job/process.h"
#include "job/recovery.h"
#include "job/sweeper.h"
#include "job/training.h"
#include "job/trash.h"
#include "store/datasets.h"
#include "store/jobs.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SILENCE_SECONDS_DEFAULT 600u
#define LOOK_INTERVAL_MS 5000 /* for what changed without anyone saying so */
#define STOP_SECONDS 10u      /* what cannot be written down by then is recovered */
#define RUNNING_JOBS_MAX 64u
#define JOBS_TO_END_MAX 1u /* beside those: of one that waited, what it has trained is kept */
#define TRAININGS_MAX (RUNNING_JOBS_MAX + JOBS_TO_END_MAX)
#define INTAKES_MAX 1u
#define ERRANDS_MAX (TRAININGS_MAX + INTAKES_MAX)
#define CHILDREN_MAX (2 * ERRANDS_MAX) /* each may have a helper beside its own */
#define OWN_FDS 2

/* For other threads: which children there are. */
struct child_entry {
    char id[DV_UUID_TEXT_SIZE];
    const char *role;
    pid_t pid;
};

struct dv_supervisor {
    struct dv_job_context context;
    struct dv_recovery *recovery;
    uint32_t running_jobs_max;
    const char *jobs_since; /* NULL: whatever waits */
    int wake_fd;

    struct dv_errand *trainings[TRAININGS_MAX];
    size_t training_count;
    struct dv_errand *intakes[INTAKES_MAX];
    size_t intake_count;
    uint64_t look_ns;    /* when to look into the store next */
    uint64_t stopped_ns; /* when it was asked to stop; 0: it was not */

    pthread_mutex_t lock; /* of what follows */
    struct child_entry children[CHILDREN_MAX];
    size_t child_count;
};

/* --- Life ------------------------------------------------------------------------------- */

static int64_t count_processors(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
}

static uint32_t clamp_jobs(uint32_t wanted)
{
    return wanted == 0 ? 1 : wanted > RUNNING_JOBS_MAX ? RUNNING_JOBS_MAX : wanted;
}

static enum dv_status recover(struct dv_supervisor *supervisor, struct dv_error *reterr)
{
    int64_t count = 0;

    enum dv_status status = dv_recovery_create(&supervisor->context, &supervisor->recovery, reterr);
    if (status == DV_OK) {
        status = dv_jobs_recover(supervisor->context.store, &count, reterr);
    }
    if (status == DV_OK && count > 0) {
        dv_log(DV_LOG_WARNING,
            "%lld jobs were running when the server before this one died: they "
            "go on from their last checkpoints",
            (long long)count);
    }
    return status;
}

enum dv_status dv_supervisor_create(const struct dv_supervisor_options *options,
    struct dv_supervisor **ret_supervisor, struct dv_error *reterr)
{
    assert(options);
    assert(options->store);
    assert(options->data_folder);
    assert(ret_supervisor);

    struct dv_supervisor *supervisor = dv_alloc(sizeof(*supervisor));
    supervisor->context = (struct dv_job_context){.store = options->store,
        .sweeper = dv_sweeper_create(),
        .data_folder = options->data_folder,
        .program = options->program,
        .thread_count = options->thread_count > 0 ? options->thread_count : count_processors(),
        .memory_max = options->memory_max,
        .llm_settings = options->llm_settings,
        .llm_key_fd = options->llm_settings ? options->llm_key_fd : -1,
        .silence_seconds =
            options->silence_seconds > 0 ? options->silence_seconds : SILENCE_SECONDS_DEFAULT};
    supervisor->running_jobs_max = clamp_jobs(options->running_jobs_max);
    supervisor->jobs_since = options->jobs_since;
    (void)pthread_mutex_init(&supervisor->lock, NULL);
    supervisor->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    enum dv_status status = supervisor->wake_fd >= 0
                                ? recover(supervisor, reterr)
                                : dv_fail_errno(reterr, errno, "cannot make an event descriptor");
    if (status != DV_OK) {
        supervisor = dv_supervisor_destroy(supervisor);
        return status;
    }
    *ret_supervisor = supervisor;
    return DV_OK;
}

struct dv_supervisor *dv_supervisor_destroy(struct dv_supervisor *supervisor)
{
    if (!supervisor) {
        return NULL;
    }
    for (size_t i = 0; i < supervisor->training_count; i++) {
        (void)dv_errand_destroy(supervisor->trainings[i]);
    }
    for (size_t i = 0; i < supervisor->intake_count; i++) {
        (void)dv_errand_destroy(supervisor->intakes[i]);
    }
    supervisor->recovery = dv_recovery_destroy(supervisor->recovery);
    supervisor->context.sweeper = dv_sweeper_destroy(supervisor->context.sweeper);
    supervisor->context.llm_memory = dv_json_unref(supervisor->context.llm_memory);
    dv_file_closep(&supervisor->wake_fd);
    (void)pthread_mutex_destroy(&supervisor->lock);
    return dv_free(supervisor);
}

void dv_supervisor_wake(struct dv_supervisor *supervisor)
{
    const uint64_t one = 1;

    assert(supervisor);
    ssize_t written = write(supervisor->wake_fd, &one, sizeof(one));
    (void)written; /* a counter that is full wakes as well */
}

/* --- Looking into the store: DV_OK, or the failure that ends the look --------------------- */

static struct dv_errand *find_errand(struct dv_errand *const *errands, size_t count, const char *id)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(errands[i]->id, id) == 0) {
            return errands[i];
        }
    }
    return NULL;
}

static bool is_in_use(void *user, const char *id)
{
    const struct dv_supervisor *supervisor = user;

    return find_errand(supervisor->trainings, supervisor->training_count, id) ||
           find_errand(supervisor->intakes, supervisor->intake_count, id);
}

static enum dv_status pass_on_cancels(struct dv_supervisor *supervisor, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *ids = NULL;

    if (supervisor->training_count == 0) {
        return DV_OK;
    }
    enum dv_status status = dv_jobs_to_cancel(supervisor->context.store, &ids, reterr);
    for (size_t i = 0; i < dv_json_count(ids); i++) {
        struct dv_errand *training = find_errand(supervisor->trainings, supervisor->training_count,
            dv_json_to_string(dv_json_at(ids, i), ""));
        if (training) {
            dv_errand_order(training, DV_ERRAND_CANCEL);
        }
    }
    return status;
}

/* A data set that is being read may have been deleted. */
static enum dv_status pass_on_deletes(struct dv_supervisor *supervisor, struct dv_error *reterr)
{
    for (size_t i = 0; i < supervisor->intake_count; i++) {
        DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;
        enum dv_status status =
            dv_datasets_get(supervisor->context.store, supervisor->intakes[i]->id, &row, reterr);
        if (status == DV_NOT_FOUND) {
            dv_errand_order(supervisor->intakes[i], DV_ERRAND_FORGET);
        } else if (status != DV_OK) {
            return status;
        }
    }
    return DV_OK;
}

static enum dv_status take_in(struct dv_supervisor *supervisor, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *ids = NULL;
    enum dv_status status = DV_OK;

    if (supervisor->intake_count < INTAKES_MAX) {
        status = dv_datasets_to_ingest(supervisor->context.store, INTAKES_MAX, &ids, reterr);
    }
    for (size_t i = 0; i < dv_json_count(ids) && supervisor->intake_count < INTAKES_MAX; i++) {
        DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;
        const char *id = dv_json_to_string(dv_json_at(ids, i), "");
        status = dv_datasets_get(supervisor->context.store, id, &row, reterr);
        if (status == DV_OK) {
            supervisor->intakes[supervisor->intake_count++] =
                dv_intake_create(&supervisor->context, row);
        } else if (status != DV_NOT_FOUND) {
            return status;
        }
    }
    return status == DV_NOT_FOUND ? DV_OK : status;
}

static void find_room(
    void *user, const struct dv_errand *asking, struct dv_admission_room *ret_room)
{
    const struct dv_supervisor *supervisor = user;
    struct dv_admission_room room = {.memory_bytes = dv_process_memory_total()};
    uint64_t allowed = (uint64_t)supervisor->context.memory_max * supervisor->running_jobs_max;
    struct dv_error error = {0};

    if (allowed > 0 && allowed < room.memory_bytes) {
        room.memory_bytes = allowed;
    }
    if (dv_folder_free_space(supervisor->context.data_folder, &room.disk_bytes, &error) != DV_OK) {
        dv_log(DV_LOG_WARNING, "%s", error.text);
        room.disk_bytes = UINT64_MAX; /* what is too large is seen when it is written */
    }
    for (size_t i = 0; i < supervisor->training_count; i++) {
        if (supervisor->trainings[i] != asking) {
            room.memory_planned += supervisor->trainings[i]->memory_bytes;
            room.disk_planned += supervisor->trainings[i]->disk_bytes;
        }
    }
    *ret_room = room;
}

static enum dv_status claim(struct dv_supervisor *supervisor, struct dv_error *reterr)
{
    while (supervisor->training_count < supervisor->running_jobs_max + JOBS_TO_END_MAX) {
        struct dv_json *row = NULL;
        bool has_room = supervisor->training_count < supervisor->running_jobs_max;
        enum dv_status status = dv_jobs_claim(supervisor->context.store,
            has_room ? supervisor->jobs_since : DV_JOBS_TO_END, &row, reterr);
        if (status != DV_OK) {
            return status == DV_NOT_FOUND ? DV_OK : status;
        }
        supervisor->trainings[supervisor->training_count++] =
            dv_training_create(&supervisor->context, row, find_room, supervisor);
    }
    return DV_OK;
}

static void look(struct dv_supervisor *supervisor)
{
    struct dv_job_context *context = &supervisor->context;
    static enum dv_status (*const looks[])(struct dv_supervisor * supervisor,
        struct dv_error * reterr) = {pass_on_cancels, pass_on_deletes, take_in, claim};
    struct dv_error error = {0};

    if (!dv_gate_is_open(&context->gate)) {
        supervisor->look_ns = context->gate.open_ns;
        return;
    }
    supervisor->look_ns = dv_clock_monotonic_ns() + LOOK_INTERVAL_MS * 1000000ull;
    enum dv_status status = DV_OK;
    for (size_t i = 0; i < DV_ARRAY_SIZE(looks) && status == DV_OK; i++) {
        status = looks[i](supervisor, &error);
    }
    if (status == DV_OK) {
        status = dv_trash_empty(context, is_in_use, supervisor, &error);
    }
    if (dv_gate_must_wait(&context->gate, status, &error)) {
        supervisor->look_ns = context->gate.open_ns;
    } else if (status != DV_OK) {
        dv_log(DV_LOG_ERROR, "cannot read the queue: %s", error.text);
    }
}

/* --- The loop --------------------------------------------------------------------------- */

static int patience_of(struct dv_errand *const *errands, size_t count)
{
    int patience_ms = -1;

    for (size_t i = 0; i < count; i++) {
        patience_ms = dv_errand_least_ms(patience_ms, dv_errand_patience_ms(errands[i]));
    }
    return patience_ms;
}

static int patience(const struct dv_supervisor *supervisor)
{
    uint64_t now_ns = dv_clock_monotonic_ns();
    uint64_t due_ns = supervisor->look_ns;

    if (supervisor->stopped_ns != 0) { /* nothing new is looked for */
        due_ns = supervisor->stopped_ns + STOP_SECONDS * 1000000000ull;
    }
    int patience_ms = due_ns <= now_ns ? 0 : (int)((due_ns - now_ns) / 1000000u) + 1;
    if (!dv_sweeper_is_idle(supervisor->context.sweeper)) {
        return 0;
    }
    if (!dv_recovery_is_done(supervisor->recovery)) {
        patience_ms =
            dv_errand_least_ms(patience_ms, dv_gate_patience_ms(&supervisor->context.gate));
    }
    patience_ms = dv_errand_least_ms(
        patience_ms, patience_of(supervisor->trainings, supervisor->training_count));
    return dv_errand_least_ms(
        patience_ms, patience_of(supervisor->intakes, supervisor->intake_count));
}

static size_t watch(struct dv_errand *const *errands, size_t count, struct pollfd *ret_fds)
{
    size_t used = 0;

    for (size_t i = 0; i < count; i++) {
        const struct dv_talk *const talks[] = {errands[i]->talk, errands[i]->helper};
        for (size_t k = 0; k < DV_ARRAY_SIZE(talks); k++) {
            if (talks[k]) {
                dv_talk_watch(talks[k], ret_fds + used);
                used += DV_TALK_POLL_COUNT;
            }
        }
    }
    return used;
}

/* Step each, and let go of those that are over. True: there were such. */
static bool step_all(struct dv_errand **errands, size_t *count)
{
    size_t kept = 0;

    for (size_t i = 0; i < *count; i++) {
        dv_errand_step(errands[i]);
        if (errands[i]->is_over) {
            (void)dv_errand_destroy(errands[i]);
        } else {
            errands[kept++] = errands[i];
        }
    }
    bool is_fewer = kept < *count;
    *count = kept;
    return is_fewer;
}

static void begin_stop(struct dv_supervisor *supervisor)
{
    if (supervisor->stopped_ns != 0) {
        return;
    }
    supervisor->stopped_ns = dv_clock_monotonic_ns();
    for (size_t i = 0; i < supervisor->training_count; i++) {
        dv_errand_order(supervisor->trainings[i], DV_ERRAND_SHUTDOWN);
    }
    for (size_t i = 0; i < supervisor->intake_count; i++) {
        dv_errand_order(supervisor->intakes[i], DV_ERRAND_SHUTDOWN);
    }
}

static bool is_stopped(const struct dv_supervisor *supervisor)
{
    return supervisor->stopped_ns != 0 &&
           ((supervisor->training_count == 0 && supervisor->intake_count == 0) ||
               dv_clock_seconds_since(supervisor->stopped_ns) > (double)STOP_SECONDS);
}

static void list_child(struct dv_supervisor *supervisor, const struct dv_errand *errand,
    const struct dv_talk *talk, const char *role)
{
    if (talk) {
        struct child_entry *entry = &supervisor->children[supervisor->child_count++];
        *entry = (struct child_entry){.role = role, .pid = dv_talk_pid(talk)};
        memcpy(entry->id, errand->id, sizeof(entry->id));
    }
}

static void list_children(
    struct dv_supervisor *supervisor, struct dv_errand *const *errands, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        list_child(supervisor, errands[i], errands[i]->talk, errands[i]->role);
        list_child(supervisor, errands[i], errands[i]->helper, errands[i]->helper_role);
    }
}

static void list_all_children(struct dv_supervisor *supervisor)
{
    (void)pthread_mutex_lock(&supervisor->lock);
    supervisor->child_count = 0;
    list_children(supervisor, supervisor->trainings, supervisor->training_count);
    list_children(supervisor, supervisor->intakes, supervisor->intake_count);
    (void)pthread_mutex_unlock(&supervisor->lock);
}

static void take_wake(struct dv_supervisor *supervisor)
{
    uint64_t count;

    if (read(supervisor->wake_fd, &count, sizeof(count)) > 0) {
        supervisor->look_ns = 0;
    }
}

static void work(struct dv_supervisor *supervisor)
{
    bool has_room = step_all(supervisor->trainings, &supervisor->training_count);

    has_room = step_all(supervisor->intakes, &supervisor->intake_count) || has_room;
    if (has_room) {
        supervisor->look_ns = 0;
    }
    if (supervisor->stopped_ns == 0 && dv_clock_monotonic_ns() >= supervisor->look_ns) {
        look(supervisor);
    }
    (void)dv_recovery_step(supervisor->recovery);
    (void)dv_sweeper_step(supervisor->context.sweeper);
    list_all_children(supervisor);
}

enum dv_status dv_supervisor_run(
    struct dv_supervisor *supervisor, int stop_fd, struct dv_error *reterr)
{
    struct pollfd fds[OWN_FDS + CHILDREN_MAX * DV_TALK_POLL_COUNT];

    assert(supervisor);
    while (!is_stopped(supervisor)) {
        bool is_stopping = supervisor->stopped_ns != 0;
        size_t count = OWN_FDS;
        fds[0] = (struct pollfd){.fd = is_stopping ? -1 : stop_fd, .events = POLLIN};
        fds[1] = (struct pollfd){.fd = supervisor->wake_fd, .events = POLLIN};
        count += watch(supervisor->trainings, supervisor->training_count, fds + count);
        count += watch(supervisor->intakes, supervisor->intake_count, fds + count);
        if (poll(fds, count, patience(supervisor)) < 0 && errno != EINTR) {
            return dv_fail_errno(reterr, errno, "cannot wait for the children");
        }
        if (fds[0].revents) {
            begin_stop(supervisor);
        }
        take_wake(supervisor);
        work(supervisor);
    }
    return DV_OK;
}

/* --- For other threads ------------------------------------------------------------------ */

struct dv_json *dv_supervisor_usage(struct dv_supervisor *supervisor)
{
    struct child_entry children[CHILDREN_MAX];
    struct dv_json *list = dv_json_array();
    size_t count;

    assert(supervisor);
    (void)pthread_mutex_lock(&supervisor->lock);
    count = supervisor->child_count;
    memcpy(children, supervisor->children, count * sizeof(*children));
    (void)pthread_mutex_unlock(&supervisor->lock);
    for (size_t i = 0; i < count; i++) {
        struct dv_process_usage usage;
        if (dv_process_read(children[i].pid, &usage)) {
            struct dv_json *item = dv_json_object();
            dv_json_set_string(item, "job_id", children[i].id);
            dv_json_set_integer(item, "pid", children[i].pid);
            dv_json_set_string(item, "role", children[i].role);
            dv_json_set_number(item, "cpu_seconds", usage.cpu_seconds);
            dv_json_set_integer(item, "rss_bytes", (int64_t)usage.rss_bytes);
            dv_json_append(list, item);
        }
    }
    return list;
}
