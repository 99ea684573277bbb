/*
 * Which field stands where, in every version from 0 to the newest of Kafka 4.4: of the apis that say
 * something about messages, topics and groups. Checked against common/message of
 * kafka-clients 2.8.2, 4.1.0, 4.4.0.
 */
#include "proto/kafka_wire.h"

#define NOW 127 /* up to the newest version */

#define F(type, slot, since, until)                                                                          \
	{                                                                                                    \
		T_##type, S_##slot, E_NONE, since, until, -1, NULL                                           \
	}
#define EACH(type, slot, event, since, until)                                                                \
	{                                                                                                    \
		T_ARRAY_##type, S_##slot, E_##event, since, until, -1, NULL                                  \
	}
#define ARRAY(event, since, until, sub)                                                                      \
	{                                                                                                    \
		T_ARRAY, S_NONE, E_##event, since, until, -1, sub                                            \
	}
#define MAYBE(since, until, sub)                                                                             \
	{                                                                                                    \
		T_MAYBE, S_NONE, E_NONE, since, until, -1, sub                                               \
	}
#define TAGGED(tag, since, until, sub)                                                                       \
	{                                                                                                    \
		T_STRUCT, S_NONE, E_NONE, since, until, tag, sub                                             \
	}
#define END                                                                                                  \
	{                                                                                                    \
		T_END, S_NONE, E_NONE, 0, 0, -1, NULL                                                        \
	}

typedef const struct kfield table[];

/* --- Produce --- */

static table produce_partition = {F(I32, PARTITION, 0, NOW), F(BYTES, RECORDS, 0, NOW), END};
static table produce_topic = {
	F(STR, TOPIC, 0, 12), F(UUID, TOPIC_ID, 13, NOW), ARRAY(PARTITION, 0, NOW, produce_partition), END};
static table produce_request = {F(STR, TXID, 3, NOW), F(I16, ACKS, 0, NOW), F(I32, NONE, 0, NOW),
	ARRAY(TOPIC, 0, NOW, produce_topic), END};

static table record_error = {F(I32, NONE, 8, NOW), F(STR, NONE, 8, NOW), END};
static table produced_partition = {F(I32, PARTITION, 0, NOW), F(I16, ERROR, 0, NOW), F(I64, OFFSET, 0, NOW),
	F(I64, NONE, 2, NOW), F(I64, NONE, 5, NOW), ARRAY(NONE, 8, NOW, record_error),
	F(STR, ERROR_TEXT, 8, NOW), END};
static table produced_topic = {
	F(STR, TOPIC, 0, 12), F(UUID, TOPIC_ID, 13, NOW), ARRAY(PARTITION, 0, NOW, produced_partition), END};
static table produce_response = {ARRAY(TOPIC, 0, NOW, produced_topic), F(I32, NONE, 1, NOW), END};

/* --- Fetch --- */

static table replica_state = {F(I32, REPLICA, 15, NOW), F(I64, NONE, 15, NOW), END};
static table fetch_partition = {F(I32, PARTITION, 0, NOW), F(I32, NONE, 9, NOW), F(I64, OFFSET, 0, NOW),
	F(I32, NONE, 12, NOW), F(I64, NONE, 5, NOW), F(I32, NONE, 0, NOW), END};
static table fetch_topic = {
	F(STR, TOPIC, 0, 12), F(UUID, TOPIC_ID, 13, NOW), ARRAY(PARTITION, 0, NOW, fetch_partition), END};
static table forgotten_topic = {
	F(STR, TOPIC, 7, 12), F(UUID, TOPIC_ID, 13, NOW), EACH(I32, PARTITION, FORGOTTEN, 7, NOW), END};
static table fetch_request = {F(I32, REPLICA, 0, 14), TAGGED(1, 15, NOW, replica_state), F(I32, NONE, 0, NOW),
	F(I32, NONE, 0, NOW), F(I32, NONE, 3, NOW), F(I8, ISOLATION, 4, NOW), F(I32, SESSION, 7, NOW),
	F(I32, SESSION_EPOCH, 7, NOW), ARRAY(TOPIC, 0, NOW, fetch_topic),
	ARRAY(NONE, 7, NOW, forgotten_topic), F(STR, NONE, 11, NOW), END};

static table aborted = {F(I64, PRODUCER, 4, NOW), F(I64, FIRST, 4, NOW), END};
static table fetched_partition = {F(I32, PARTITION, 0, NOW), F(I16, ERROR, 0, NOW), F(I64, NONE, 0, NOW),
	F(I64, NONE, 4, NOW), F(I64, NONE, 5, NOW), ARRAY(ABORTED, 4, NOW, aborted), F(I32, NONE, 11, NOW),
	F(BYTES, RECORDS, 0, NOW), END};
static table fetched_topic = {
	F(STR, TOPIC, 0, 12), F(UUID, TOPIC_ID, 13, NOW), ARRAY(PARTITION, 0, NOW, fetched_partition), END};
static table fetch_response = {F(I32, NONE, 1, NOW), F(I16, TOP_ERROR, 7, NOW), F(I32, SESSION, 7, NOW),
	ARRAY(TOPIC, 0, NOW, fetched_topic), END};

/* --- topics --- */

static table metadata_wanted = {F(UUID, TOPIC_ID, 10, NOW), F(STR, TOPIC, 0, NOW), END};
static table metadata_request = {ARRAY(TOPIC, 0, NOW, metadata_wanted), F(I8, NONE, 4, NOW),
	F(I8, NONE, 8, 10), F(I8, NONE, 8, NOW), END};
static table metadata_broker = {
	F(I32, NONE, 0, NOW), F(STR, HOST, 0, NOW), F(I32, PORT, 0, NOW), F(STR, NONE, 1, NOW), END};
static table metadata_partition = {F(I16, NONE, 0, NOW), F(I32, NONE, 0, NOW), F(I32, NONE, 0, NOW),
	F(I32, NONE, 7, NOW), EACH(I32, NONE, NONE, 0, NOW), EACH(I32, NONE, NONE, 0, NOW),
	EACH(I32, NONE, NONE, 5, NOW), END};
static table metadata_topic = {F(I16, ERROR, 0, NOW), F(STR, TOPIC, 0, NOW), F(UUID, TOPIC_ID, 10, NOW),
	F(I8, NONE, 1, NOW), ARRAY(NONE, 0, NOW, metadata_partition), F(I32, NONE, 8, NOW), END};
static table metadata_response = {F(I32, NONE, 3, NOW), ARRAY(BROKER, 0, NOW, metadata_broker),
	F(STR, CLUSTER, 2, NOW), F(I32, NONE, 1, NOW), ARRAY(TOPIC, 0, NOW, metadata_topic),
	F(I32, NONE, 8, 10), F(I16, NONE, 13, NOW), END};

static table create_assignment = {F(I32, NONE, 0, NOW), EACH(I32, NONE, NONE, 0, NOW), END};
static table create_config = {F(STR, NONE, 0, NOW), F(STR, NONE, 0, NOW), END};
static table create_topic = {F(STR, TOPIC, 0, NOW), F(I32, COUNT, 0, NOW), F(I16, NONE, 0, NOW),
	ARRAY(NONE, 0, NOW, create_assignment), ARRAY(NONE, 0, NOW, create_config), END};
static table create_topics_request = {
	ARRAY(TOPIC, 0, NOW, create_topic), F(I32, NONE, 0, NOW), F(I8, FLAG, 1, NOW), END};
static table created_config = {F(STR, NONE, 5, NOW), F(STR, NONE, 5, NOW), F(I8, NONE, 5, NOW),
	F(I8, NONE, 5, NOW), F(I8, NONE, 5, NOW), END};
static table created_topic = {F(STR, TOPIC, 0, NOW), F(UUID, TOPIC_ID, 7, NOW), F(I16, ERROR, 0, NOW),
	F(STR, ERROR_TEXT, 1, NOW), F(I32, COUNT, 5, NOW), F(I16, NONE, 5, NOW),
	ARRAY(NONE, 5, NOW, created_config), END};
static table create_topics_response = {F(I32, NONE, 2, NOW), ARRAY(TOPIC, 0, NOW, created_topic), END};

static table delete_topic = {F(STR, TOPIC, 6, NOW), F(UUID, TOPIC_ID, 6, NOW), END};
static table delete_topics_request = {
	ARRAY(TOPIC, 6, NOW, delete_topic), EACH(STR, TOPIC, TOPIC, 0, 5), F(I32, NONE, 0, NOW), END};
static table deleted_topic = {F(STR, TOPIC, 0, NOW), F(UUID, TOPIC_ID, 6, NOW), F(I16, ERROR, 0, NOW),
	F(STR, ERROR_TEXT, 5, NOW), END};
static table delete_topics_response = {F(I32, NONE, 1, NOW), ARRAY(TOPIC, 0, NOW, deleted_topic), END};

static table delete_partition = {F(I32, PARTITION, 0, NOW), F(I64, OFFSET, 0, NOW), END};
static table delete_records_topic = {F(STR, TOPIC, 0, NOW), ARRAY(PARTITION, 0, NOW, delete_partition), END};
static table delete_records_request = {ARRAY(TOPIC, 0, NOW, delete_records_topic), F(I32, NONE, 0, NOW), END};
static table deleted_partition = {
	F(I32, PARTITION, 0, NOW), F(I64, OFFSET, 0, NOW), F(I16, ERROR, 0, NOW), END};
static table deleted_records_topic = {
	F(STR, TOPIC, 0, NOW), ARRAY(PARTITION, 0, NOW, deleted_partition), END};
static table delete_records_response = {
	F(I32, NONE, 0, NOW), ARRAY(TOPIC, 0, NOW, deleted_records_topic), END};

static table cursor = {F(STR, NONE, 0, NOW), F(I32, NONE, 0, NOW), END};
static table describe_topic = {F(STR, TOPIC, 0, NOW), END};
static table describe_topics_request = {
	ARRAY(TOPIC, 0, NOW, describe_topic), F(I32, NONE, 0, NOW), MAYBE(0, NOW, cursor), END};
static table described_partition = {F(I16, NONE, 0, NOW), F(I32, NONE, 0, NOW), F(I32, NONE, 0, NOW),
	F(I32, NONE, 0, NOW), EACH(I32, NONE, NONE, 0, NOW), EACH(I32, NONE, NONE, 0, NOW),
	EACH(I32, NONE, NONE, 0, NOW), EACH(I32, NONE, NONE, 0, NOW), EACH(I32, NONE, NONE, 0, NOW), END};
static table described_topic = {F(I16, ERROR, 0, NOW), F(STR, TOPIC, 0, NOW), F(UUID, TOPIC_ID, 0, NOW),
	F(I8, NONE, 0, NOW), ARRAY(NONE, 0, NOW, described_partition), F(I32, NONE, 0, NOW), END};
static table describe_topics_response = {
	F(I32, NONE, 0, NOW), ARRAY(TOPIC, 0, NOW, described_topic), MAYBE(0, NOW, cursor), END};

/* --- positions --- */

static table commit_partition = {F(I32, PARTITION, 0, NOW), F(I64, OFFSET, 0, NOW), F(I64, NONE, 1, 1),
	F(I32, NONE, 6, NOW), F(STR, NONE, 0, NOW), END};
static table commit_topic = {
	F(STR, TOPIC, 0, 9), F(UUID, TOPIC_ID, 10, NOW), ARRAY(PARTITION, 0, NOW, commit_partition), END};
static table offset_commit_request = {F(STR, GROUP, 0, NOW), F(I32, EPOCH, 1, NOW), F(STR, MEMBER, 1, NOW),
	F(STR, NONE, 7, NOW), F(I64, NONE, 2, 4), ARRAY(TOPIC, 0, NOW, commit_topic), END};
static table committed_partition = {F(I32, PARTITION, 0, NOW), F(I16, ERROR, 0, NOW), END};
static table committed_topic = {
	F(STR, TOPIC, 0, 9), F(UUID, TOPIC_ID, 10, NOW), ARRAY(PARTITION, 0, NOW, committed_partition), END};
static table offset_commit_response = {F(I32, NONE, 3, NOW), ARRAY(TOPIC, 0, NOW, committed_topic), END};

static table txn_commit_partition = {
	F(I32, PARTITION, 0, NOW), F(I64, OFFSET, 0, NOW), F(I32, NONE, 2, NOW), F(STR, NONE, 0, NOW), END};
static table txn_commit_topic = {
	F(STR, TOPIC, 0, 5), F(UUID, TOPIC_ID, 6, NOW), ARRAY(PARTITION, 0, NOW, txn_commit_partition), END};
static table txn_commit_request = {F(STR, TXID, 0, NOW), F(STR, GROUP, 0, NOW), F(I64, PRODUCER, 0, NOW),
	F(I16, PRODUCER_EPOCH, 0, NOW), F(I32, EPOCH, 3, NOW), F(STR, MEMBER, 3, NOW), F(STR, NONE, 3, NOW),
	ARRAY(TOPIC, 0, NOW, txn_commit_topic), END};
static table txn_committed_topic = {
	F(STR, TOPIC, 0, 5), F(UUID, TOPIC_ID, 6, NOW), ARRAY(PARTITION, 0, NOW, committed_partition), END};
static table txn_commit_response = {F(I32, NONE, 0, NOW), ARRAY(TOPIC, 0, NOW, txn_committed_topic), END};

static table positions_wanted_7 = {F(STR, TOPIC, 0, 7), EACH(I32, PARTITION, NONE, 0, 7), END};
static table positions_wanted = {
	F(STR, TOPIC, 8, 9), F(UUID, TOPIC_ID, 10, NOW), EACH(I32, PARTITION, NONE, 8, NOW), END};
static table positions_group = {F(STR, GROUP, 8, NOW), F(STR, MEMBER, 9, NOW), F(I32, EPOCH, 9, NOW),
	ARRAY(TOPIC, 8, NOW, positions_wanted), END};
static table offset_fetch_request = {F(STR, GROUP, 0, 7), ARRAY(TOPIC, 0, 7, positions_wanted_7),
	ARRAY(GROUP, 8, NOW, positions_group), F(I8, NONE, 7, NOW), END};
static table position = {F(I32, PARTITION, 0, NOW), F(I64, OFFSET, 0, NOW), F(I32, NONE, 5, NOW),
	F(STR, NONE, 0, NOW), F(I16, ERROR, 0, NOW), END};
static table positions_topic_7 = {F(STR, TOPIC, 0, 7), ARRAY(PARTITION, 0, 7, position), END};
static table positions_topic = {
	F(STR, TOPIC, 8, 9), F(UUID, TOPIC_ID, 10, NOW), ARRAY(PARTITION, 8, NOW, position), END};
static table positions_of = {
	F(STR, GROUP, 8, NOW), ARRAY(TOPIC, 8, NOW, positions_topic), F(I16, TOP_ERROR, 8, NOW), END};
static table offset_fetch_response = {F(I32, NONE, 3, NOW), ARRAY(TOPIC, 0, 7, positions_topic_7),
	F(I16, TOP_ERROR, 2, 7), ARRAY(GROUP, 8, NOW, positions_of), END};

/* --- groups, classic --- */

static table join_protocol = {F(STR, NONE, 0, NOW), F(BYTES, NONE, 0, NOW), END};
static table join_request = {F(STR, GROUP, 0, NOW), F(I32, NONE, 0, NOW), F(I32, NONE, 1, NOW),
	F(STR, MEMBER, 0, NOW), F(STR, NONE, 5, NOW), F(STR, TYPE, 0, NOW),
	ARRAY(NONE, 0, NOW, join_protocol), F(STR, NONE, 8, NOW), END};
static table join_member = {F(STR, NONE, 0, NOW), F(STR, NONE, 5, NOW), F(BYTES, NONE, 0, NOW), END};
static table join_response = {F(I32, NONE, 2, NOW), F(I16, TOP_ERROR, 0, NOW), F(I32, EPOCH, 0, NOW),
	F(STR, TYPE, 7, NOW), F(STR, NONE, 0, NOW), F(STR, NONE, 0, NOW), F(I8, NONE, 9, NOW),
	F(STR, MEMBER, 0, NOW), ARRAY(NONE, 0, NOW, join_member), END};
static table sync_assignment = {F(STR, NONE, 0, NOW), F(BYTES, NONE, 0, NOW), END};
static table sync_request = {F(STR, GROUP, 0, NOW), F(I32, EPOCH, 0, NOW), F(STR, MEMBER, 0, NOW),
	F(STR, NONE, 3, NOW), F(STR, TYPE, 5, NOW), F(STR, NONE, 5, NOW),
	ARRAY(NONE, 0, NOW, sync_assignment), END};
static table sync_response = {F(I32, NONE, 1, NOW), F(I16, TOP_ERROR, 0, NOW), F(STR, TYPE, 5, NOW),
	F(STR, NONE, 5, NOW), F(BYTES, BYTES, 0, NOW), END};
static table heartbeat_request = {
	F(STR, GROUP, 0, NOW), F(I32, EPOCH, 0, NOW), F(STR, MEMBER, 0, NOW), F(STR, NONE, 3, NOW), END};
static table heartbeat_response = {F(I32, NONE, 1, NOW), F(I16, TOP_ERROR, 0, NOW), END};
static table leave_member = {F(STR, MEMBER, 3, NOW), F(STR, NONE, 3, NOW), F(STR, NONE, 5, NOW), END};
static table leave_request = {
	F(STR, GROUP, 0, NOW), F(STR, MEMBER, 0, 2), ARRAY(MEMBER, 3, NOW, leave_member), END};
static table left_member = {F(STR, MEMBER, 3, NOW), F(STR, NONE, 3, NOW), F(I16, ERROR, 3, NOW), END};
static table leave_response = {
	F(I32, NONE, 1, NOW), F(I16, TOP_ERROR, 0, NOW), ARRAY(MEMBER, 3, NOW, left_member), END};
static table delete_groups_request = {EACH(STR, GROUP, GROUP, 0, NOW), END};
static table deleted_group = {F(STR, GROUP, 0, NOW), F(I16, ERROR, 0, NOW), F(STR, ERROR_TEXT, 3, NOW), END};
static table delete_groups_response = {F(I32, NONE, 0, NOW), ARRAY(GROUP, 0, NOW, deleted_group), END};

/* --- groups of KIP-848 and share groups of KIP-932 --- */

static table assigned_topic = {F(UUID, TOPIC_ID, 0, NOW), EACH(I32, PARTITION, PARTITION, 0, NOW), END};
static table owned_topic = {F(UUID, TOPIC_ID, 0, NOW), EACH(I32, PARTITION, NONE, 0, NOW), END};
static table assignment = {ARRAY(TOPIC, 0, NOW, assigned_topic), END};
static table group_heartbeat_request = {F(STR, GROUP, 0, NOW), F(STR, MEMBER, 0, NOW), F(I32, EPOCH, 0, NOW),
	F(STR, NONE, 0, NOW), F(STR, NONE, 0, NOW), F(I32, NONE, 0, NOW), EACH(STR, NONE, NONE, 0, NOW),
	F(STR, NONE, 1, NOW), F(STR, NONE, 0, NOW), ARRAY(NONE, 0, NOW, owned_topic), END};
/* The flag tells that an assignment is in it: the byte before a struct that may be null. */
static table group_heartbeat_response = {F(I32, NONE, 0, NOW), F(I16, TOP_ERROR, 0, NOW),
	F(STR, ERROR_TEXT, 0, NOW), F(STR, MEMBER, 0, NOW), F(I32, EPOCH, 0, NOW), F(I32, NONE, 0, NOW),
	{T_MAYBE, S_FLAG, E_NONE, 0, NOW, -1, assignment}, END};
static table named_partitions = {
	F(UUID, TOPIC_ID, 0, NOW), F(STR, TOPIC, 0, NOW), EACH(I32, NONE, NONE, 0, NOW), END};
static table named_assignment = {ARRAY(TOPIC, 0, NOW, named_partitions), END};
static table described_member = {F(STR, MEMBER, 0, NOW), F(STR, NONE, 0, NOW), F(STR, NONE, 0, NOW),
	F(I32, NONE, 0, NOW), F(STR, NONE, 0, NOW), F(STR, NONE, 0, NOW), EACH(STR, NONE, NONE, 0, NOW),
	F(STR, NONE, 0, NOW), {T_STRUCT, S_NONE, E_NONE, 0, NOW, -1, named_assignment},
	{T_STRUCT, S_NONE, E_NONE, 0, NOW, -1, named_assignment}, F(I8, NONE, 1, NOW), END};
static table described_group = {F(I16, ERROR, 0, NOW), F(STR, ERROR_TEXT, 0, NOW), F(STR, GROUP, 0, NOW),
	F(STR, NONE, 0, NOW), F(I32, NONE, 0, NOW), F(I32, NONE, 0, NOW), F(STR, NONE, 0, NOW),
	ARRAY(MEMBER, 0, NOW, described_member), F(I32, NONE, 0, NOW), END};
static table group_describe_request = {EACH(STR, GROUP, NONE, 0, NOW), F(I8, NONE, 0, NOW), END};
static table group_describe_response = {F(I32, NONE, 0, NOW), ARRAY(GROUP, 0, NOW, described_group), END};

static table share_heartbeat_request = {F(STR, GROUP, 0, NOW), F(STR, MEMBER, 0, NOW), F(I32, EPOCH, 0, NOW),
	F(STR, NONE, 0, NOW), EACH(STR, NONE, NONE, 0, NOW), END};
static table acknowledged = {F(I64, FIRST, 0, NOW), F(I64, LAST, 0, NOW), F(BYTES, BYTES, 0, NOW), END};
static table share_fetch_partition = {
	F(I32, PARTITION, 0, NOW), F(I32, NONE, 0, 0), ARRAY(RANGE, 0, NOW, acknowledged), END};
static table share_fetch_topic = {
	F(UUID, TOPIC_ID, 0, NOW), ARRAY(PARTITION, 0, NOW, share_fetch_partition), END};
static table share_forgotten = {F(UUID, TOPIC_ID, 0, NOW), EACH(I32, NONE, NONE, 0, NOW), END};
static table share_fetch_request = {F(STR, GROUP, 0, NOW), F(STR, MEMBER, 0, NOW),
	F(I32, SESSION_EPOCH, 0, NOW), F(I32, NONE, 0, NOW), F(I32, NONE, 0, NOW), F(I32, NONE, 0, NOW),
	F(I32, NONE, 1, NOW), F(I32, NONE, 1, NOW), F(I8, NONE, 2, NOW), F(I8, NONE, 2, NOW),
	ARRAY(TOPIC, 0, NOW, share_fetch_topic), ARRAY(NONE, 0, NOW, share_forgotten), END};
static table leader = {F(I32, NONE, 0, NOW), F(I32, NONE, 0, NOW), END};
static table endpoint = {
	F(I32, NONE, 0, NOW), F(STR, NONE, 0, NOW), F(I32, NONE, 0, NOW), F(STR, NONE, 0, NOW), END};
static table acquired = {F(I64, FIRST, 0, NOW), F(I64, LAST, 0, NOW), F(I16, COUNT, 0, NOW), END};
static table share_fetched_partition = {F(I32, PARTITION, 0, NOW), F(I16, ERROR, 0, NOW),
	F(STR, NONE, 0, NOW), F(I16, TYPE, 0, NOW), F(STR, NONE, 0, NOW),
	{T_STRUCT, S_NONE, E_NONE, 0, NOW, -1, leader}, F(BYTES, RECORDS, 0, NOW),
	ARRAY(RANGE, 0, NOW, acquired), END};
static table share_fetched_topic = {
	F(UUID, TOPIC_ID, 0, NOW), ARRAY(PARTITION, 0, NOW, share_fetched_partition), END};
static table share_fetch_response = {F(I32, NONE, 0, NOW), F(I16, TOP_ERROR, 0, NOW), F(STR, NONE, 0, NOW),
	F(I32, NONE, 1, NOW), ARRAY(TOPIC, 0, NOW, share_fetched_topic), ARRAY(NONE, 0, NOW, endpoint), END};
static table share_ack_partition = {F(I32, PARTITION, 0, NOW), ARRAY(RANGE, 0, NOW, acknowledged), END};
static table share_ack_topic = {
	F(UUID, TOPIC_ID, 0, NOW), ARRAY(PARTITION, 0, NOW, share_ack_partition), END};
static table share_ack_request = {F(STR, GROUP, 0, NOW), F(STR, MEMBER, 0, NOW),
	F(I32, SESSION_EPOCH, 0, NOW), F(I8, NONE, 2, NOW), ARRAY(TOPIC, 0, NOW, share_ack_topic), END};
static table share_acked_partition = {F(I32, PARTITION, 0, NOW), F(I16, TYPE, 0, NOW), F(STR, NONE, 0, NOW),
	{T_STRUCT, S_NONE, E_NONE, 0, NOW, -1, leader}, END};
static table share_acked_topic = {
	F(UUID, TOPIC_ID, 0, NOW), ARRAY(PARTITION, 0, NOW, share_acked_partition), END};
static table share_ack_response = {F(I32, NONE, 0, NOW), F(I16, TOP_ERROR, 0, NOW), F(STR, NONE, 0, NOW),
	F(I32, NONE, 2, NOW), ARRAY(TOPIC, 0, NOW, share_acked_topic), ARRAY(NONE, 0, NOW, endpoint), END};

/* --- transactions, logins, versions --- */

static table init_producer_request = {F(STR, TXID, 0, NOW), F(I32, NONE, 0, NOW), F(I64, PRODUCER, 3, NOW),
	F(I16, PRODUCER_EPOCH, 3, NOW), F(I8, NONE, 6, NOW), F(I8, NONE, 6, NOW), END};
static table init_producer_response = {F(I32, NONE, 0, NOW), F(I16, TOP_ERROR, 0, NOW),
	F(I64, PRODUCER, 0, NOW), F(I16, PRODUCER_EPOCH, 0, NOW), F(I64, NONE, 6, NOW), F(I16, NONE, 6, NOW),
	END};
static table txn_topic = {F(STR, TOPIC, 0, NOW), EACH(I32, PARTITION, NONE, 0, NOW), END};
static table txn = {F(STR, TXID, 4, NOW), F(I64, PRODUCER, 4, NOW), F(I16, PRODUCER_EPOCH, 4, NOW),
	F(I8, NONE, 4, NOW), ARRAY(TOPIC, 4, NOW, txn_topic), END};
static table add_partitions_request = {ARRAY(NONE, 4, NOW, txn), F(STR, TXID, 0, 3), F(I64, PRODUCER, 0, 3),
	F(I16, PRODUCER_EPOCH, 0, 3), ARRAY(TOPIC, 0, 3, txn_topic), END};
static table add_offsets_request = {F(STR, TXID, 0, NOW), F(I64, PRODUCER, 0, NOW),
	F(I16, PRODUCER_EPOCH, 0, NOW), F(STR, GROUP, 0, NOW), END};
static table end_txn_request = {F(STR, TXID, 0, NOW), F(I64, PRODUCER, 0, NOW),
	F(I16, PRODUCER_EPOCH, 0, NOW), F(I8, FLAG, 0, NOW), END};
static table end_txn_response = {F(I32, NONE, 0, NOW), F(I16, TOP_ERROR, 0, NOW), F(I64, PRODUCER, 5, NOW),
	F(I16, PRODUCER_EPOCH, 5, NOW), END};
static table sasl_handshake_request = {F(STR, TYPE, 0, NOW), END};
static table sasl_handshake_response = {F(I16, TOP_ERROR, 0, NOW), EACH(STR, NONE, NONE, 0, NOW), END};
static table sasl_request = {F(BYTES, BYTES, 0, NOW), END};
static table sasl_response = {F(I16, TOP_ERROR, 0, NOW), F(STR, ERROR_TEXT, 0, NOW), F(BYTES, BYTES, 0, NOW),
	F(I64, NONE, 1, NOW), END};
static table versions_request = {
	F(STR, NONE, 3, NOW), F(STR, NONE, 3, NOW), F(STR, NONE, 5, NOW), F(I32, NONE, 5, NOW), END};
static table versions_api = {F(I16, NONE, 0, NOW), F(I16, NONE, 0, NOW), F(I16, NONE, 0, NOW), END};
static table versions_response = {
	F(I16, TOP_ERROR, 0, NOW), ARRAY(NONE, 0, NOW, versions_api), F(I32, NONE, 1, NOW), END};

#define NEVER 127

/* Without tables: known by name only, passed over by size. */
#define API(max, flexible)                                                                                   \
	{                                                                                                    \
		max, flexible, NULL, NULL                                                                    \
	}

static const struct kapi apis[K_APIS] = {
	[K_PRODUCE] = {13, 9, produce_request, produce_response},
	[K_FETCH] = {18, 12, fetch_request, fetch_response},
	[2] = API(11, 6), /* ListOffsets */
	[K_METADATA] = {13, 9, metadata_request, metadata_response},
	[4] = API(7, 4), /* between brokers: LeaderAndIsr, StopReplica, UpdateMetadata, ControlledShutdown */
	[5] = API(4, 2),
	[6] = API(8, 6),
	[7] = API(3, 3),
	[K_OFFSET_COMMIT] = {10, 8, offset_commit_request, offset_commit_response},
	[K_OFFSET_FETCH] = {10, 6, offset_fetch_request, offset_fetch_response},
	[10] = API(6, 3), /* FindCoordinator */
	[K_JOIN_GROUP] = {9, 6, join_request, join_response},
	[K_HEARTBEAT] = {4, 4, heartbeat_request, heartbeat_response},
	[K_LEAVE_GROUP] = {5, 4, leave_request, leave_response},
	[K_SYNC_GROUP] = {5, 4, sync_request, sync_response},
	[15] = API(6, 5), /* DescribeGroups, ListGroups */
	[16] = API(5, 3),
	[K_SASL_HANDSHAKE] = {1, NEVER, sasl_handshake_request, sasl_handshake_response},
	[K_API_VERSIONS] = {5, 3, versions_request, versions_response},
	[K_CREATE_TOPICS] = {7, 5, create_topics_request, create_topics_response},
	[K_DELETE_TOPICS] = {6, 4, delete_topics_request, delete_topics_response},
	[K_DELETE_RECORDS] = {2, 2, delete_records_request, delete_records_response},
	[K_INIT_PRODUCER_ID] = {6, 2, init_producer_request, init_producer_response},
	[23] = API(4, 4), /* OffsetForLeaderEpoch */
	[K_ADD_PARTITIONS_TO_TXN] = {5, 3, add_partitions_request, NULL},
	[K_ADD_OFFSETS_TO_TXN] = {4, 3, add_offsets_request, NULL},
	[K_END_TXN] = {5, 3, end_txn_request, end_txn_response},
	[27] = API(2, 1), /* WriteTxnMarkers */
	[K_TXN_OFFSET_COMMIT] = {6, 3, txn_commit_request, txn_commit_response},
	[29] = API(3, 2), /* access lists, configuration, log directories */
	[30] = API(3, 2),
	[31] = API(3, 2),
	[32] = API(4, 4),
	[33] = API(2, 2),
	[34] = API(2, 2),
	[35] = API(5, 2),
	[K_SASL_AUTHENTICATE] = {2, 2, sasl_request, sasl_response},
	[37] = API(3, 2), /* CreatePartitions, delegation tokens */
	[38] = API(3, 2),
	[39] = API(2, 2),
	[40] = API(2, 2),
	[41] = API(3, 2),
	[K_DELETE_GROUPS] = {3, 2, delete_groups_request, delete_groups_response},
	[43] = API(2, 2), /* elections, configuration, reassignment, quotas, SCRAM users */
	[44] = API(1, 1),
	[45] = API(1, 0),
	[46] = API(0, 0),
	[47] = API(0, NEVER),
	[48] = API(1, 1),
	[49] = API(1, 1),
	[50] = API(0, 0),
	[K_ALTER_SCRAM] = API(0, 0),
	[52] = API(2, 0), /* the controllers' quorum, brokers' life */
	[53] = API(1, 1),
	[54] = API(1, 1),
	[55] = API(2, 0),
	[56] = API(3, 0),
	[57] = API(2, 0),
	[58] = API(0, 0),
	[59] = API(1, 0),
	[60] = API(2, 0),
	[61] = API(0, 0),
	[62] = API(4, 0),
	[63] = API(2, 0),
	[64] = API(0, 0),
	[65] = API(0, 0),
	[66] = API(2, 0),
	[67] = API(0, 0),
	[K_GROUP_HEARTBEAT] = {1, 0, group_heartbeat_request, group_heartbeat_response},
	[K_GROUP_DESCRIBE] = {1, 0, group_describe_request, group_describe_response},
	[70] = API(0, 0), /* controllers, telemetry, directories */
	[71] = API(0, 0),
	[72] = API(0, 0),
	[73] = API(0, 0),
	[74] = API(1, 0),
	[K_DESCRIBE_TOPICS] = {0, 0, describe_topics_request, describe_topics_response},
	[K_SHARE_HEARTBEAT] = {1, 0, share_heartbeat_request, group_heartbeat_response},
	[77] = API(1, 0), /* ShareGroupDescribe */
	[K_SHARE_FETCH] = {2, 0, share_fetch_request, share_fetch_response},
	[K_SHARE_ACKNOWLEDGE] = {2, 0, share_ack_request, share_ack_response},
	[80] = API(1, 0), /* voters, the share coordinator's state, streams groups, share groups' offsets */
	[81] = API(0, 0),
	[82] = API(0, 0),
	[83] = API(0, 0),
	[84] = API(0, 0),
	[85] = API(1, 0),
	[86] = API(0, 0),
	[87] = API(1, 0),
	[88] = API(1, 0),
	[89] = API(1, 0),
	[90] = API(1, 0),
	[91] = API(0, 0),
	[92] = API(0, 0),
	[93] = API(0, 0),
	[94] = API(0, 0),
};

const struct kapi *kafka_api(int key)
{
	return key >= 0 && key < K_APIS ? &apis[key] : NULL;
}
