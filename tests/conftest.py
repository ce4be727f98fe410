"""Which tests are ``extended``: what shows more of the same, and takes long.

A test that stands here with a number has that many cases for one that runs by default, another
backend from one file to the next where cases are pairs; with 0, all of it is extended. The
default run is to stay quick; each room and each way of using it keeps some of its tests there, of
several the quick ones. What is to be merged has passed all of them.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import pytest
from hypothesis import settings

settings.register_profile("the same in every run", derandomize=True, deadline=None)
settings.load_profile("the same in every run")

ROOM = Path(__file__).parent
#: The descriptor of the error stream, which nothing captures.
ERRORS: Final = pytest.StashKey[int]()
#: Seconds after which a test hangs: by then the slowest one has ended ten times over.
BOUND: Final = 1200 if os.environ.get("TRACELOCK_TESTS") == "full" else 240
#: file -> test -> one case in so many runs by default (0: none does).
EXTENDED: dict[str, dict[str, int]] = {
    "conformance/test_roots.py": {
        "test_a_passing_run_of_the_mended_twin_has_no_error_nor_that_finding": 3,
        "test_the_root_names_what_the_fix_changes": 3,
    },
    "faults/test_faults.py": {"test_a_killed_worker_is_told": 3},
    "system/test_fresh_network.py": {"test_a_trace_replays_whatever_the_process": 0},
    "conformance/test_network_crashes_trio.py": {
        "test_wherever_it_waits_it_is_gone_and_others_go_on": 5,
        "test_locks_that_they_hold_or_wait_for_are_anothers": 0,
        "test_as_a_fault_it_is_found_made_small_and_replayed": 0,
        "test_a_host_is_started_again_as_a_task": 0,
        "test_with_anyio": 0,
        "test_what_is_gone_is_let_go_of": 0,
    },
    "conformance/test_python_lazy.py": {
        "test_timers_that_wait_for_threads_are_named": 0,
        "test_what_says_it_is_a_module_and_is_none": 2,
    },
    "conformance/test_network_dropped.py": {
        "test_the_peer_comes_to_the_end_of_the_stream": 3,
        "test_tasks_drop_them_too": 0,
    },
    "conformance/test_network_faults.py": {
        "test_a_connect_fails_as_the_fault_says": 4,
        "test_datagrams_arrive_as_the_fault_says": 4,
    },
    "conformance/test_network_orders.py": {
        "test_a_reset_or_an_early_end_of_what_is_late_is_one_at_once": 0,
        "test_more_programs_at_random": 0,
        "test_whether_a_fault_can_come_in_is_a_part_of_the_step_of_its_choice": 0,
        "test_every_order_of_every_choice_has_no_more_endings": 0,
        "test_partitions_that_come_in_have_the_endings_that_they_have_by_hand": 0,
    },
    "conformance/test_crashes.py": {
        "test_a_copy_is_seen_however_it_is_made": 2,
        "test_a_log_with_a_torn_record": 2,
        "test_a_record_that_was_promised_before_the_sync_is_missed": 0,
        "test_a_replay_comes_to_the_same_crash": 0,
        "test_a_thread_that_a_task_waits_for_crashes_too": 0,
        "test_check_is_called_on_what_a_crash_has_left_where_nothing_recovers": 0,
        "test_partial_order_reduction_misses_no_ending": 4,
        "test_what_is_not_a_crash_is_checked_as_ever": 0,
        "test_what_the_program_does_when_it_is_started_again_may_be_given_by_itself": 0,
    },
    "conformance/test_audit.py": {
        "test_a_bug_in_it_is_found": 10,
        "test_an_invariant_is_asked_in_the_end": 0,
        "test_arguments_that_a_class_does_not_take": 0,
        "test_a_model_in_place_of_the_class": 0,
        "test_contracts_and_what_is_ignored": 0,
        "test_methods_that_the_model_does_not_know_are_left_out": 0,
        "test_the_shape_of_the_data": 0,
        "test_what_is_closed_is_closed_twice_and_used": 0,
        "test_what_is_right_is_verified": 10,
    },
    "conformance/test_audit_deadlines.py": {
        "test_a_bug_in_it_is_found_by_its_deadline": 12,
        "test_a_deadlock_that_is_right_is_no_program_of_another_anomaly": 0,
        "test_a_method_whose_calls_all_raise_is_told": 0,
        "test_its_program_fails_and_its_trace_replays": 0,
        "test_on_trio_too": 0,
        "test_the_standard_library_is_right": 0,
        "test_what_depends_on_the_time_is_not_judged": 0,
        "test_what_is_right_is_verified": 12,
        "test_what_may_be_lost_by_contract_is_not_judged": 0,
    },
    "conformance/test_audit_time.py": {
        "test_what_is_wrong_in_time_is_found_and_what_is_right_is_not": 0,
    },
    "conformance/test_audit_trio.py": {
        "test_a_bug_in_it_is_found": 3,
        "test_an_anomaly_of_a_cancellation_is_a_program_whose_trace_replays": 0,
        "test_trio_keeps_what_it_promises": 0,
        "test_what_is_right_is_verified": 3,
    },
    "conformance/test_audit_tasks.py": {
        "test_a_bug_in_it_is_found": 8,
        "test_a_model_judges_tasks_too": 0,
        "test_an_anomaly_of_a_cancellation_is_a_program_that_fails_without_tracelock": 0,
        "test_asyncio_keeps_what_it_promises": 0,
        "test_what_is_lost_may_be_what_the_contract_says": 0,
        "test_what_is_right_is_verified": 8,
    },
    "conformance/test_parsimonious.py": {
        "test_each_class_of_generated_scenarios_once": 3,
        "test_exactly_the_published_executions": 3,
        "test_what_it_is_not_fit_for_is_searched_by_wakeup_trees": 3,
    },
    "conformance/test_teeth.py": {
        "test_verdicts_are_those_of_every_order": 10,
    },
    "conformance/test_sets_order.py": {
        "test_objects_and_members_of_an_enumeration_are_told_by_their_class": 0,
        "test_sets_that_the_expression_makes_have_one_too": 24,
        "test_what_depends_on_the_order_is_told": 4,
    },
    "conformance/test_account.py": {
        "test_a_module_that_is_not_looked_into_may_hold_what_is_shared": 0,
        "test_a_recursion_that_never_ends_is_the_programs_own": 0,
        "test_what_else_keeps_verified_away_is_told": 0,
        "test_what_is_not_seen_is_not_verified": 4,
        "test_what_is_seen_is_verified": 4,
    },
    "conformance/test_state_in_tuples.py": {"test_it_is_never_verified": 5},
    "conformance/test_objects_of_extensions.py": {
        "test_a_race_is_found": 3,
        "test_so_it_is_in_the_standard_library": 4,
        "test_a_view_is_what_it_is_a_view_of": 4,
    },
    "conformance/test_state_unseen.py": {
        "test_it_is_never_verified": 3,
    },
    "conformance/test_state_elsewhere.py": {
        "test_it_is_never_verified": 20,
        "test_what_a_lock_keeps_apart_is_right": 6,
    },
    "conformance/test_state_of_versions.py": {
        "test_it_is_never_verified": 40,
        "test_what_a_lock_keeps_apart_is_verified": 5,
    },
    "conformance/test_always.py": {
        "test_a_failure_names_the_step_and_is_replayed": 3,
        "test_of_tasks_it_is_looked_at_where_others_can_come_in": 2,
        "test_the_states_in_between_are_those_of_every_order": 6,
    },
    "conformance/test_analyze_library.py": {
        "test_a_failing_trace_of_a_search_is_named": 2,
        "test_no_false_alarm_and_no_miss": 20,
    },
    "conformance/test_c_calls.py": {
        "test_hooks_see_what_callables_in_c_read_and_write": 0,
        "test_no_race_with_these_is_verified": 12,
        "test_what_a_lock_keeps_apart_is_verified": 2,
        "test_what_hooks_see_fails": 0,
        "test_what_no_hook_sees_is_never_verified": 0,
    },
    "conformance/test_cancellations.py": {
        "test_a_deadline_may_come_early": 2,
        "test_a_wake_up_that_was_handed_to_the_cancelled_one_is_a_bug": 0,
        "test_cancellable_names_workers": 0,
        "test_only_awaits_in_a_block_are_cancelled_where_there_is_one": 0,
        "test_scopes_of_anyio": 0,
        "test_tasks_of_own_loops_are_cancelled_too": 0,
        "test_to_wait_for_a_message_of_the_cancelled_one_is_no_bug": 6,
        "test_trio": 0,
        "test_what_the_cancelled_one_held_and_never_gave_back_is_a_bug": 3,
    },
    "conformance/test_cancelling.py": {
        "test_a_cancelled_task_counts_it_once": 0,
        "test_a_deadlock_of_others_is_one": 0,
        "test_a_lock_that_is_lost_on_a_loop_of_its_own": 0,
        "test_a_lock_that_the_cancelled_one_held": 24,
        "test_a_stream_whose_sender_was_cancelled": 2,
        "test_children_of_a_worker_are_cancelled_and_no_others": 0,
        "test_loops_of_either_library": 0,
        "test_scopes_of_trio": 2,
        "test_what_comes_of_a_cancellation_by_hand_comes_of_one_here": 0,
        "test_what_is_known_of_blocks_comes_back_from_a_forked_process": 0,
        "test_who_starved_is_told_of_forked_processes_too": 0,
    },
    "conformance/test_checkpoint.py": {
        "test_dpor_stopped_at_every_kth_schedule": 3,
    },
    "conformance/test_choices.py": {
        "test_every_value_in_its_order": 0,
        "test_large_numbers_are_drawn_from_all_of_them": 0,
        "test_a_failure_is_made_small_with_its_values_and_replayed": 6,
        "test_every_class_once_and_no_other": 8,
        "test_in_processes_of_their_own": 0,
        "test_more_values_than_are_tried_are_not_verified": 4,
        "test_on_every_backend": 3,
    },
    "conformance/test_databases.py": {
        "test_one_that_another_process_explores_with_is_refused": 0,
        "test_a_connection_that_threads_share_is_a_shared_object": 0,
        "test_a_connection_that_lives_on_sees_what_was_put_back": 0,
        "test_a_cursor_that_is_not_at_its_end_keeps_others_from_committing": 0,
        "test_a_database_in_memory_that_connections_share": 0,
        "test_a_statement_waits_as_long_as_its_connection_says_in_virtual_time": 0,
        "test_classes_of_the_program_are_under_control_too": 0,
        "test_each_statement_of_a_script_and_each_transaction_of_many_rows_is_a_step": 0,
        "test_it_is_found_and_named_with_its_statements": 6,
        "test_to_turn_on_autocommit_is_a_commit": 0,
        "test_who_is_refused_in_the_middle_of_a_statement_is_told_when_that_is_over": 0,
        "test_what_is_not_under_control_keeps_verified_away": 2,
        "test_what_mends_it_is_verified": 5,
    },
    "conformance/test_databases_brute.py": {
        "test_parts_of_a_database_end_as_every_order": 0,
        "test_random_statements_end_as_every_order": 0,
        "test_random_statements_on_rows_end_as_every_order": 0,
        "test_what_is_known_to_matter_ends_as_every_order": 6,
    },
    "conformance/test_databases_processes.py": {
        "test_a_circle_through_a_lock_of_processes_is_named": 0,
        "test_a_connection_from_before_the_fork_keeps_verified_away": 0,
        "test_a_database_that_was_there_before_is_put_back": 0,
        "test_a_process_that_a_thread_starts_shares_the_database_with_threads": 0,
        "test_a_process_waits_in_virtual_time": 0,
        "test_it_ends_as_every_order": 0,
        "test_it_is_found_and_named_with_its_statements": 3,
        "test_what_a_killed_process_holds_is_given_up_and_nothing_is_verified": 0,
        "test_what_a_process_holds_is_given_up_at_its_end": 0,
        "test_what_mends_it_is_verified": 2,
    },
    "conformance/test_determinism.py": {
        "test_digests_in_another_process": 0,
    },
    "conformance/test_dies_at_once.py": {
        "test_nothing_is_left_for_a_collection": 2,
    },
    "conformance/test_dpor.py": {
        "test_generated_scenarios_of_tasks": 6,
        "test_generated_scenarios_on_threads": 6,
    },
    "conformance/test_estimate.py": {
        "test_good_to_a_fifth_when_a_third_is_explored": 4,
        "test_of_a_search_in_several_processes": 0,
        "test_of_real_code": 2,
    },
    "conformance/test_examples.py": {
        "test_the_bug_is_found_and_its_trace_replays": 5,
        "test_the_fix_passes": 9,
    },
    "conformance/test_explore.py": {
        "test_every_file_of_the_library": 80,
        "test_shrink_a_free_runs_trace_and_the_scenario": 0,
    },
    "conformance/test_gil_dpor.py": {
        "test_same_final_states_as_brute_force_under_the_gil": 32,
        "test_under_the_gil_there_are_fewer_states_than_without": 0,
    },
    "conformance/test_gil_programs.py": {
        "test_the_command": 0,
        "test_there_is_no_forecast_of_what_fails_here_and_none_of_what_never_fails": 0,
        "test_this_interpreter_does_what_is_known_of_it": 12,
        "test_verified_says_of_which_interpreter": 0,
    },
    "conformance/test_interpreter_cases.py": {
        "test_the_mended_ones_pass_in_any_order_of_their_workers": 0,
        "test_a_look_depends_on_the_store_that_lets_go": 0,
        "test_dpor_claims_nothing_false": 320,
        "test_nothing_is_proved_of_what_is_not_seen": 12,
        "test_the_default_strategy_knows_the_truth": 288,
    },
    "conformance/test_isolation.py": {
        "test_temporary_names_are_not_those_of_an_exploration_before": 0,
        "test_the_search_goes_on_when_a_worker_was_left_behind": 0,
        "test_a_call_into_c_that_another_could_end_is_no_failure": 0,
        "test_what_a_bad_schedule_leaves_behind_is_gone_with_it": 0,
        "test_a_call_into_c_that_never_returns_is_told_and_ended": 2,
        "test_a_call_into_c_that_only_takes_long_is_no_failure": 0,
        "test_a_process_that_ends_in_setup_or_check_or_a_task_is_told_here_too": 0,
        "test_an_interrupt_ends_the_search_wherever_it_is": 12,
        "test_deaths_before_the_first_step_in_setup_and_in_the_check": 0,
        "test_each_process_begins_from_the_state_that_there_was": 0,
        "test_modules_that_call_c_functions_run_apart_by_themselves": 0,
        "test_tasks_run_apart_too": 0,
        "test_the_search_goes_on_after_each_death": 0,
        "test_the_search_is_the_same_as_in_this_process": 0,
        "test_the_time_is_kept_and_no_process_is_left": 0,
        "test_what_ends_the_process_from_python_needs_no_other": 6,
        "test_what_ends_the_process_is_found_made_small_confirmed_and_replayed": 0,
    },
    "conformance/test_isolation_auto.py": {
        "test_a_failure_in_it_is_found_confirmed_and_replayed": 0,
        "test_a_fault_in_an_extension_module_ends_one_schedule": 0,
        "test_a_leak_that_the_first_schedules_do_not_show_ends_with_them": 0,
        "test_a_plain_program_is_forked_for_nothing": 0,
        "test_each_schedule_begins_from_the_same_state": 0,
        "test_it_is_decided_the_same_whatever_else_is_loaded": 0,
        "test_never_forks_nothing": 4,
        "test_one_that_the_program_names_is_known_before_anything_runs": 0,
        "test_what_forked_schedules_give_the_caller_is_sent_or_named": 0,
    },
    "conformance/test_isolation_backends.py": {
        "test_a_check_that_ends_its_process_beside_processes": 0,
        "test_a_deadlock_of_tasks_leaves_nothing_behind": 0,
        "test_a_process_that_dies_is_told_wherever_schedules_run": 12,
        "test_a_task_that_ends_its_process_ends_one_schedule": 0,
        "test_processes_search_the_same_apart_as_here": 0,
        "test_state_that_leaks_from_tasks": 0,
        "test_tasks_search_the_same_apart_as_here": 0,
        "test_what_processes_change_of_their_own_leaks_nowhere": 0,
    },
    "conformance/test_isolation_own_errors.py": {
        "test_a_worker_that_is_being_seen_to_is_waited_for": 0,
        "test_a_program_that_ends_its_process_is_still_told_as_that": 0,
        "test_it_is_an_internal_error_with_its_traceback": 12,
        "test_what_the_watchdog_raises_too_late_is_raised_nowhere": 0,
    },
    "conformance/test_library.py": {
        "test_expectation": 6,
    },
    "conformance/test_loop_cases.py": {
        "test_dpor_claims_nothing_false": 80,
        "test_the_default_strategy_knows_the_truth": 80,
    },
    "conformance/test_many_explorations.py": {
        "test_nothing_is_left_of_any": 0,
    },
    "conformance/test_many_workers.py": {
        "test_they_are_explored_and_their_failures_replayed": 4,
    },
    "conformance/test_network.py": {
        "test_datagrams_are_lost_doubled_and_reordered_as_often_as_they_may": 0,
        "test_a_lost_update_of_an_unmodified_server_and_client": 0,
        "test_a_loop_and_threads_talk_to_each_other": 0,
        "test_a_retry_after_a_reset_applies_twice": 0,
        "test_one_that_reads_lines_passes": 0,
        "test_reduction_by_partial_orders_misses_nothing": 0,
        "test_the_server_with_a_lock_passes": 0,
    },
    "conformance/test_network_crashes.py": {
        "test_a_crash_comes_between_any_two_steps": 0,
        "test_a_loop_is_gone_with_its_thread": 0,
        "test_as_a_fault_it_is_found_and_replayed": 0,
        "test_what_the_others_learn_is_a_choice": 0,
        "test_what_was_cut_is_let_go_of": 0,
    },
    "conformance/test_network_crashes_shared.py": {
        "test_a_crash_comes_between_any_two_steps_and_no_code_runs_after_it": 0,
        "test_a_host_is_started_again_as_a_task": 0,
        "test_as_a_fault_it_is_found_made_small_and_replayed": 0,
        "test_the_ends_of_its_connections": 2,
        "test_what_is_gone_is_let_go_of": 0,
    },
    "conformance/test_host_disks.py": {
        "test_it_leaves_what_a_crash_of_the_machine_leaves": 4,
        "test_what_is_lost_is_named_made_small_and_replayed": 0,
    },
    "conformance/test_network_hosts.py": {
        "test_who_does_not_wait_is_ready_when_it_is_connected_and_not_before": 0,
        "test_a_partition_in_every_order_of_steps": 0,
        "test_a_partition_is_found_replayed_and_made_small": 0,
        "test_loops_across_a_partition": 0,
        "test_partitions_come_into_loops": 0,
        "test_who_waits_for_a_connection_has_it_when_it_is_healed": 0,
    },
    "conformance/test_network_slowness.py": {
        "test_both_send_and_nobody_reads": 3,
    },
    "conformance/test_oracles.py": {
        "test_how_often_a_random_walk_fails": 4,
        "test_inequivalent_executions": 3,
        "test_runs_and_states_of_random_programs_of_tasks": 0,
        "test_runs_and_states_of_random_programs_with_timers": 0,
        "test_runs_states_and_traces_of_random_programs": 0,
    },
    "conformance/test_outside.py": {
        "test_a_time_out_comes_as_it_would": 0,
        "test_a_call_that_was_not_recorded_is_told_with_its_place": 0,
        "test_a_process_of_a_loop_is_refused_with_its_command": 4,
        "test_a_process_of_trio_that_is_fed_more_than_a_pipe_has_room_for": 0,
        "test_recorded_and_replayed": 3,
        "test_tls_of_threads_is_recorded_as_the_program_has_it": 0,
        "test_who_waits_for_what_never_comes_is_no_failure": 3,
    },
    "conformance/test_own_loops.py": {
        "test_an_own_loop_is_never_verified": 0,
        "test_in_debug_mode_other_threads_may_call_what_is_safe_and_nothing_else": 2,
        "test_a_loop_that_waits_for_ever_is_a_deadlock_that_says_for_what": 0,
        "test_a_thread_beside_a_loop_is_in_the_schedule_too": 0,
        "test_its_tasks_are_scheduled": 0,
        "test_two_loops_in_two_threads_are_in_one_schedule": 0,
    },
    "conformance/test_own_loops_cases.py": {
        "test_real_input_is_named": 0,
        "test_whether_the_loop_reaches_it_by_itself_is_told": 2,
        "test_a_loop_in_the_background_that_setup_starts": 2,
        "test_a_loop_that_is_none_of_asyncio_is_refused_by_name": 0,
        "test_a_worker_runs_them_as_without_control": 12,
        "test_an_endless_turn_is_a_livelock": 0,
        "test_nothing_is_proved_where_a_thread_uses_what_is_the_loops": 0,
        "test_one_in_another_process_is_refused": 2,
        "test_one_on_a_thread_of_a_coroutine_is_controlled_and_nothing_is_proved": 0,
        "test_trio_is_under_control_where_it_is_imported_late": 0,
        "test_what_does_not_wake_a_loop_does_not_wake_it": 0,
    },
    "conformance/test_own_loops_orders.py": {
        "test_a_lock_is_taken_by_the_thread_first_and_by_the_task_first": 0,
        "test_an_event_of_asyncio_that_an_executor_sets_is_never_verified": 0,
        "test_auto_goes_on_with_samples_where_the_search_of_a_loop_is_not_through": 0,
        "test_dpor_finds_the_ends_that_every_order_has": 0,
        "test_dpor_finds_the_ends_that_random_orders_have": 0,
        "test_timers_of_two_loops_that_are_up_at_once_come_in_any_order": 12,
    },
    "conformance/test_own_trio.py": {
        "test_a_loop_of_asyncio_beside_it_is_in_the_schedule_too": 0,
        "test_an_endless_turn_is_a_livelock": 0,
        "test_its_tasks_are_scheduled": 8,
        "test_tasks_that_never_end_keep_no_exploration": 0,
        "test_two_runs_in_two_threads_are_in_one_schedule": 0,
        "test_what_cannot_be_controlled_is_refused_by_name": 12,
    },
    "conformance/test_patches_loops.py": {
        "test_a_way_to_run_a_loop_that_is_not_controlled_is_refused": 0,
        "test_anyio": 0,
        "test_tasks_of_a_loop_that_a_worker_starts_are_controlled": 12,
        "test_trio": 0,
    },
    "conformance/test_patches_outside.py": {
        "test_a_worker_that_blocks_is_named": 2,
    },
    "conformance/test_patches_used.py": {
        "test_ends_of_processes": 12,
        "test_ends_of_the_process": 50,
        "test_files": 0,
        "test_processes": 0,
    },
    "conformance/test_plain_steps.py": {
        "test_they_are_the_steps_of_the_controller": 2,
    },
    "conformance/test_predict.py": {
        "test_the_library": 6,
    },
    "conformance/test_processes.py": {
        "test_controlled_is_the_model": 0,
        "test_examples": 3,
        "test_free_runs_are_faithful": 20,
        "test_killed_from_outside_while_controlled": 0,
        "test_killed_from_outside_while_free": 6,
        "test_start_methods": 6,
        "test_time_limit": 0,
        "test_updates_get_lost": 0,
        "test_workers_die_with_their_parent": 4,
    },
    "conformance/test_program_properties.py": {
        "test_expression_reads_and_value": 0,
        "test_expressions_of_one_step_in_order": 0,
    },
    "conformance/test_programs_interpreter.py": {
        "test_before_every_access_is_what_a_build_without_the_gil_does": 50,
    },
    "conformance/test_python_alone.py": {
        "test_one_outcome_as_without_control": 32,
    },
    "conformance/test_python_assertions.py": {
        "test_containers_looked_at_in_assertions_are_seen": 12,
        "test_methods_called_in_assertions_are_seen": 2,
    },
    "conformance/test_python_callbacks.py": {
        "test_it_is_seen": 12,
    },
    "conformance/test_python_cases.py": {
        "test_a_daemon_is_left_behind_and_another_thread_is_not": 0,
        "test_a_finalizer_that_waits_for_its_own_thread_is_a_deadlock": 0,
        "test_a_lost_wake_up_is_a_deadlock": 2,
        "test_a_race_of_threads_that_a_worker_starts": 0,
        "test_a_spin_wait_ends_by_the_bound_of_steps": 0,
        "test_a_worker_stuck_in_c_is_named_and_nothing_is_claimed": 0,
        "test_an_exception_is_a_failure_unless_expected": 2,
        "test_consumer_first_terminates": 16,
        "test_patches_are_undone": 12,
        "test_system_exit_ends_a_thread_quietly": 0,
        "test_the_right_loop_is_verified": 2,
        "test_what_is_not_deterministic_is_named": 2,
        "test_who_takes_the_lock_first_is_reversed": 0,
    },
    "conformance/test_python_dpor.py": {
        "test_same_final_states_as_brute_force": 128,
    },
    "conformance/test_python_engine.py": {
        "test_a_check_fails_by_raising_or_by_false": 4,
        "test_a_finalizer_that_takes_the_lock_its_thread_holds_is_a_deadlock": 0,
        "test_a_spin_wait_ends_by_the_bound_on_steps": 0,
        "test_one_exploration_at_a_time": 0,
        "test_only_what_two_workers_touch_is_a_scheduling_point": 0,
        "test_waiting_for_the_clock_is_named": 0,
        "test_without_collections_and_with_a_reentrant_lock_it_passes": 0,
    },
    "conformance/test_python_exits.py": {
        "test_an_error_there_is_a_failure": 0,
        "test_an_error_where_an_object_dies_is_a_failure_unless_the_program_hears_it": 2,
        "test_in_so_many_of_so_many_schedules": 9,
        "test_of_processes_that_are_not_under_control_nothing_is_claimed": 16,
        "test_what_a_forked_process_calls_is_in_the_account": 2,
        "test_when_handlers_of_signals_run_is_not_under_control": 4,
    },
    "conformance/test_python_files.py": {
        "test_a_counter_in_a_file_loses_an_update": 0,
        "test_a_lock_on_a_file": 2,
        "test_a_lock_that_is_not_waited_for": 0,
        "test_a_step_on_several_files_is_replayed_and_tried_first": 0,
        "test_a_trace_is_replayed": 0,
        "test_check_then_create_is_a_race": 0,
        "test_dpor_finds_every_end": 12,
        "test_every_form_is_controlled": 0,
        "test_exclusive_creation_is_none": 0,
        "test_links_lead_to_the_same_file": 0,
        "test_lockf_does_not_shut_out_threads_of_one_process": 0,
        "test_renaming_over_is_one_step": 0,
        "test_temporary_files_have_stable_names": 0,
        "test_upgrading_a_lock_gives_it_up_first": 0,
    },
    "conformance/test_python_first_steps.py": {
        "test_others_may_go_on_before_a_task_begins": 0,
        "test_tasks_begin_in_the_order_of_their_creation": 12,
        "test_the_workers_that_were_given_begin_in_any_order": 0,
    },
    "conformance/test_python_processes.py": {
        "test_a_child_that_never_leaves_ends_with_the_worker": 0,
        "test_a_condition_waits_for_a_predicate_and_not_for_a_signal_alone": 0,
        "test_a_crash_is_told_with_what_was_held": 3,
        "test_a_fork_while_another_thread_holds_a_lock": 0,
        "test_a_forked_child_that_is_killed_is_a_crash": 0,
        "test_a_lock_file_between_processes": 0,
        "test_a_locked_increment_is_verified_and_an_unlocked_one_is_not": 0,
        "test_a_process_that_does_not_come_back_is_named": 0,
        "test_an_error_comes_back_with_its_traceback": 0,
        "test_arrays_and_structures_are_shared_by_their_parts": 0,
        "test_bounded_and_joined_queues": 0,
        "test_dpor_finds_every_end_in_processes": 0,
        "test_dpor_finds_every_end_of_a_fork": 0,
        "test_events_and_barriers": 0,
        "test_locks_of_a_module_are_controlled_where_they_are_used": 0,
        "test_of_what_a_process_starts_by_spawn_nothing_is_claimed": 12,
        "test_processes_that_workers_start_are_workers": 0,
        "test_queues": 4,
        "test_reentrant_locks_and_semaphores": 0,
        "test_shared_memory": 0,
        "test_threads_of_a_process_are_workers": 0,
        "test_what_a_process_held_of_a_file_ends_with_it": 0,
    },
    "conformance/test_python_processes_stay.py": {
        "test_what_setup_makes_is_what_workers_have": 0,
        "test_a_failure_is_confirmed_by_forked_processes": 0,
        "test_nothing_is_left_for_the_next_schedule": 13,
        "test_one_that_is_killed_from_outside_is_noticed": 2,
        "test_ones_that_get_stuck_are_ended": 0,
        "test_shared_memory_and_semaphores_begin_as_setup_leaves_them": 0,
        "test_the_same_steps_as_by_processes_that_are_forked_for_each": 12,
        "test_what_has_no_likeness_is_inherited": 0,
    },
    "conformance/test_python_real.py": {
        "test_the_time_that_there_is_bounds_every_phase": 0,
        "test_a_worker_stuck_in_c_is_given_up_under_a_profiler_too": 0,
        "test_a_bound_on_steps_that_was_hit_names_the_loop_that_goes_round": 0,
        "test_a_condition_like_class_gives_its_lock_up_and_takes_it_back": 0,
        "test_a_daemon_that_never_rests_is_cut_off": 0,
        "test_a_daemon_that_only_waits_for_others_hinders_no_proof_and_one_with_a_timer_does": 0,
        "test_a_failure_that_there_is_no_time_to_shrink_is_told_all_the_same": 0,
        "test_a_lock_of_a_module_that_a_worker_keeps_is_kept_in_its_schedule_alone": 0,
        "test_a_pool_in_setup_and_pools_in_workers_have_the_same_names_in_every_schedule": 0,
        "test_a_proxy_whose_class_is_a_property_is_no_recursion": 0,
        "test_a_queue_whose_parts_a_program_uses_is_the_librarys_own_code": 0,
        "test_a_wrapped_condition_of_a_queue_is_used": 0,
        "test_an_infinite_timeout_is_refused_as_the_real_wait_refuses_it": 0,
        "test_chance_is_the_same_in_every_schedule_and_nothing_is_proved_of_it": 0,
        "test_ctrl_c_while_control_is_taken_or_given_back_leaves_nothing_half_done": 0,
        "test_locks_of_a_module_that_a_deadlock_leaves_locked_are_free_in_the_next_schedule": 0,
        "test_many_explorations_in_one_process_leave_nothing_behind": 0,
        "test_names_from_counters_of_the_process_do_not_run_on_from_schedule_to_schedule": 0,
        "test_stand_ins_of_locks_go_with_their_exploration": 0,
        "test_what_a_finalizer_raises_fails_the_run_unless_it_is_expected": 0,
    },
    "conformance/test_python_state.py": {
        "test_a_race_in_what_is_set_up_at_first_use_is_found_every_time": 0,
        "test_a_race_of_tasks_on_a_global_is_found_every_time": 0,
        "test_all_that_a_module_holds_is_as_it_was_when_a_schedule_begins": 0,
        "test_what_a_schedule_changes_of_the_process_is_put_back": 4,
        "test_what_a_type_in_c_lets_nobody_set_is_named_only_where_it_changes": 0,
        "test_what_cannot_be_put_back_is_named": 0,
    },
    "conformance/test_reduce.py": {
        "test_only_the_failure_is_left": 0,
        "test_the_library_is_reduced": 0,
    },
    "conformance/test_samplers.py": {
        "test_bounded_search_gives_each_schedule_once_the_cheapest_first": 3,
        "test_every_kind_of_choice": 0,
        "test_nothing_is_out_of_reach": 3,
        "test_pct_keeps_its_guarantee": 0,
        "test_random_fails_with_its_exact_probability": 12,
    },
    "conformance/test_session.py": {
        "test_a_worker_stuck_elsewhere_is_named_with_its_stack": 0,
        "test_a_failure_found_is_replayed": 4,
        "test_a_sum_that_is_too_large_is_the_workers_error_everywhere": 0,
        "test_free_runs_are_faithful": 20,
        "test_the_deadlock_of_one_backend_on_another": 6,
        "test_the_real_backend_follows_a_free_run": 4,
    },
    "conformance/test_shrinking.py": {
        "test_a_free_run_is_shrunk": 0,
        "test_a_shrunk_trace_replays_on_the_real_backend": 0,
        "test_known_minimum": 3,
        "test_of_real_code_it_comes_to_the_same_too": 2,
        "test_passes_alone_reach_the_minimum": 3,
        "test_the_search_for_the_fewest_agrees_with_brute_force": 3,
    },
    "conformance/test_small_programs.py": {
        "test_dpor_reaches_what_the_oracle_reaches": 72,
        "test_the_verdict_is_the_truth": 320,
    },
    "conformance/test_state_machines.py": {
        "test_a_right_one_passes": 0,
        "test_of_tasks": 0,
        "test_the_smallest_client_is_told_with_its_schedule": 0,
    },
    "conformance/test_states.py": {
        "test_generated_scenarios": 3,
        "test_the_conformance_cases": 9,
        "test_the_expectations_of_the_library": 0,
        "test_the_library": 4,
    },
    "conformance/test_task_steps.py": {
        "test_code_that_is_not_looked_into_is_tried_in_every_order": 0,
        "test_more_random_programs": 0,
        "test_their_ends_are_those_of_every_order": 4,
        "test_there_are_as_many_executions_as_classes": 6,
        "test_what_is_not_known_is_tried_in_every_order": 3,
    },
    "conformance/test_tasks.py": {
        "test_controlled_is_the_model": 6,
        "test_free_runs_replay": 6,
        "test_limits": 12,
        "test_random_free_runs_replay": 12,
        "test_random_scenarios": 12,
    },
    "conformance/test_tasks_asyncio.py": {
        "test_a_cancellation_leaks_a_lock": 0,
        "test_a_failing_worker_is_a_failure_with_its_place": 0,
        "test_a_spin_ends": 0,
        "test_a_task_that_blocks_the_thread_is_named": 0,
        "test_a_task_that_spins_is_named_as_a_livelock": 0,
        "test_a_thread_that_was_given_up_leaves_the_process_alone_when_it_comes_back": 0,
        "test_an_error_that_nobody_asks_for_is_a_failure_unless_it_is_expected": 0,
        "test_gather_in_one_worker_that_starts_the_others": 0,
        "test_threads_of_the_executor_are_workers": 0,
        "test_timers_are_choices_under_the_adversarial_clock": 0,
        "test_what_a_loop_logs_is_logged_where_it_happens": 0,
        "test_what_is_patched_is_undone": 0,
    },
    "conformance/test_tasks_brute.py": {
        "test_dpor_finds_what_brute_force_finds": 64,
        "test_the_same_with_cancellations": 0,
    },
    "conformance/test_tasks_trio.py": {
        "test_who_goes_on_at_once_is_in_no_order_of_addresses": 3,
        "test_a_cancellation_leaks_a_lock": 0,
        "test_a_lost_update_is_found_told_and_replayed": 0,
        "test_anyio_on_its_backends": 0,
        "test_dpor_finds_what_brute_force_finds": 24,
        "test_threads_are_workers": 0,
    },
    "conformance/test_time_limits.py": {
        "test_a_wait_takes_what_the_real_one_takes": 5,
    },
    "conformance/test_timers_dpor.py": {
        "test_a_timer_that_is_called_off_could_have_fired_before": 2,
        "test_a_timer_that_wakes_one_task_has_one_order": 12,
        "test_on_trio_too": 12,
        "test_two_scopes_that_are_up_have_few_orders": 12,
    },
    "conformance/test_traces.py": {
        "test_it_is_replayed_on_every_backend_where_it_is_possible": 40,
    },
    "conformance/test_twin.py": {
        "test_twins_of_the_library": 3,
    },
    "system/test_kept_code.py": {
        "test_auto_keeps_all_its_stages": 0,
        "test_of_a_program_that_depends_on_more_nothing_is_verified": 0,
        "test_out_of_time": 0,
        "test_processes_that_are_killed": 0,
        "test_the_first_failure_ends_it_each_time": 0,
        "test_what_a_killed_process_leaves_behind_is_gone_on_with": 0,
    },
    "system/test_failure_story.py": {
        "test_a_pool_that_checks_once_is_told_in_forty_rows": 2,
        "test_a_replay_tells_the_same_story": 2,
        "test_it_is_never_said_where_order_matters": 0,
    },
    "system/test_atomic.py": {
        "test_what_waits_for_the_other_has_an_answer_and_no_end_to_compare_with": 0,
        "test_the_json_is_as_promised": 0,
        "test_a_cure_is_one_step_itself_and_does_the_same": 0,
        "test_a_generator_lets_others_in_where_it_yields": 0,
        "test_a_lock_around_both_makes_it_atomic": 0,
        "test_an_end_state_that_no_order_explains_is_found_and_one_that_one_does_is_not": 0,
        "test_names_that_say_what_they_are_need_no_set_up": 0,
        "test_other_interpreters_and_a_run_for_real": 0,
        "test_tasks": 12,
        "test_the_table_of_common_operations": 0,
        "test_what_a_statement_prints_is_no_part_of_the_answer": 0,
        "test_what_cannot_be_asked": 12,
        "test_what_others_do_at_an_await_that_suspends_is_shown": 0,
    },
    "system/test_atomic_functions.py": {
        "test_a_decorated_function_is_its_wrapper": 0,
        "test_functions_and_methods": 12,
        "test_results_tell_two_calls_apart_and_a_trace_replays": 0,
        "test_what_is_no_function_is_said": 12,
        "test_with_another_function_or_a_statement": 0,
    },
    "system/test_crashing_faces.py": {"test_by_scenarios_and_options": 5},
    "system/test_cancelling_faces.py": {
        "test_a_block_keeps_the_rest_from_being_cancelled": 0,
        "test_the_marker": 4,
        "test_workers_by_name": 18,
    },
    "system/test_cli.py": {
        "test_ctrl_c_leaves_a_whole_trace": 0,
        "test_no_colours_on_a_pipe_and_ascii_where_nothing_else_goes": 0,
    },
    "system/test_completion.py": {
        "test_nothing_is_offered_where_nothing_is_known": 3,
        "test_what_is_offered": 3,
    },
    "system/test_compare.py": {
        "test_another_python_and_a_switch_interval_are_bars_of_their_own": 0,
        "test_the_commands": 0,
        "test_variants_are_sound_and_keep_what_is_no_lock": 3,
        "test_what_can_happen_is_what_the_library_expects": 3,
        "test_what_the_gil_makes_of_a_scenario": 0,
    },
    "system/test_corpus.py": {
        "test_a_bug_is_found_and_replayed_in_a_fresh_process": 12,
        "test_where_it_is_mended_nothing_is_found": 0,
    },
    "system/test_debugger.py": {
        "test_a_line_that_is_left_is_not_run": 3,
        "test_a_replay_that_is_looked_at_comes_to_the_same_end": 2,
        "test_every_event_is_a_stop_forward_and_back": 6,
        "test_it_stops_in_the_users_frame_at_the_failure": 6,
        "test_ways_to_leave": 2,
    },
    "system/test_debugger_protocol.py": {
        "test_nobody_else_can_connect": 0,
        "test_whatever_a_client_sends_the_process_ends": 6,
    },
    "system/test_debugger_pytest.py": {
        "test_calls_of_breakpoint_are_passed_over_in_a_search_and_stop_a_replay": 0,
    },
    "system/test_docs.py": {
        "test_its_code_runs": 0,
    },
    "system/test_export.py": {
        "test_a_random_schedule_is_followed": 2,
        "test_a_regression_test_fails_until_the_code_is_mended": 0,
        "test_a_worker_alone_does_what_the_simulated_backend_does": 0,
        "test_every_file_becomes_a_program": 6,
        "test_forced_processes_fail_every_time": 0,
        "test_forced_programs_fail_every_time": 0,
        "test_no_text_of_a_scenario_becomes_code": 0,
        "test_the_test_of_a_scenario_explores_it": 0,
        "test_what_a_free_program_does_is_possible": 8,
    },
    "system/test_export_forced.py": {
        "test_what_cannot_be_forced_is_refused_with_its_reason": 0,
        "test_a_failing_test_is_made_again_from_its_token_and_has_a_report": 0,
        "test_a_forced_program_of_real_code_fails_every_time_and_passes_once_mended": 5,
        "test_check_says_what_became_of_an_old_failure_of_real_code": 0,
        "test_it_is_tried_before_it_is_handed_out": 0,
        "test_lines_that_move_are_found_again": 0,
        "test_names_of_strangers_stay_texts": 0,
        "test_the_trace_of_a_test_becomes_a_test": 0,
    },
    "system/test_first_party.py": {
        "test_a_trace_says_what_all_was": 0,
        "test_all_looks_into_libraries_that_the_workers_execute": 0,
        "test_asyncio_can_be_looked_into_all_the_same": 3,
        "test_the_plugin_looks_into_the_class_under_test": 0,
        "test_the_plugin_looks_into_what_a_fixture_of_conftest_gives": 0,
        "test_what_no_global_leads_to_is_looked_into_once_it_has_run": 0,
    },
    "system/test_fresh_processes.py": {
        "test_a_killed_recorder_loses_nothing_that_was_flushed": 12,
        "test_a_trace_replays_in_a_fresh_process": 2,
        "test_assertions_that_pytest_rewrote_stay_rewritten": 0,
        "test_depth_is_bounded_without_a_crash": 4,
        "test_processes_share_what_was_rewritten": 0,
    },
    "system/test_isolation_faces.py": {
        "test_a_test_run_goes_on_after_a_segmentation_fault": 0,
    },
    "system/test_late_imports.py": {
        "test_a_deadlock_of_an_import_and_a_lock_is_told_as_one": 0,
        "test_a_module_that_a_worker_imports_is_looked_into": 0,
        "test_it_keeps_nothing_of_ours": 0,
    },
    "system/test_learning.py": {
        "test_a_page_shows_what_its_scenarios_expect": 4,
        "test_the_terminal_is_as_it_was_when_it_is_interrupted": 2,
    },
    "system/test_no_internal_error.py": {
        "test_a_condition_without_a_value_is_one_that_does_not_hold": 2,
        "test_a_free_run_that_is_cut_is_recorded_in_a_true_order": 8,
    },
    "system/test_rescue.py": {
        "test_a_killed_recorder_leaves_what_it_had": 9,
    },
    "system/test_outside.py": {
        "test_replayed_where_nothing_outside_is_there": 0,
        "test_each_program_is_replayed": 0,
        "test_replayed_again_and_again": 0,
    },
    "system/test_outputs.py": {
        "test_a_device_stays_a_device": 2,
        "test_a_file_is_replaced_whole": 2,
        "test_folders_and_what_is_read_are_refused_before_anything_is_run": 2,
        "test_redirections_of_a_shell": 0,
        "test_standard_output": 3,
    },
    "system/test_teeth.py": {
        "test_a_class_is_judged_by_its_audit": 0,
        "test_a_test_that_explores_by_itself_is_run_as_it_is": 0,
        "test_tests_as_pytest_has_them": 0,
        "test_what_fails_as_it_is_is_refused": 0,
    },
    "system/test_audit.py": {
        "test_the_marker": 0,
        "test_wrong_use_is_told": 4,
    },
    "system/test_pytest_async.py": {
        "test_a_kept_trace_of_tasks_is_replayed": 0,
        "test_an_async_test_is_explored_whoever_else_runs_such_tests": 9,
        "test_anyio_says_on_which_backend": 0,
        "test_async_fixtures_come_from_their_plugin": 2,
        "test_what_a_plugin_keeps_of_a_test_is_no_state_of_it": 0,
        "test_who_reads_the_log_of_a_loop_has_received_what_is_in_it": 0,
    },
    "system/test_pytest_files.py": {
        "test_expect_is_checked_on_each_backend": 0,
        "test_only_on_request": 0,
        "test_python_code_needs_a_word": 0,
    },
    "system/test_pytest_fixtures.py": {
        "test_a_race_on_it_is_found_kept_and_tried_first": 9,
        "test_however_a_schedule_ends": 0,
        "test_what_is_right_passes_and_each_schedule_has_its_own": 0,
        "test_what_wider_fixtures_made_is_put_back_or_named": 0,
    },
    "system/test_pytest_given.py": {
        "test_examples_that_do_not_count": 0,
        "test_unmarked": 0,
        "test_what_hypothesis_can_do": 0,
    },
    "system/test_pytest_network.py": {"test_a_token_replays_in_a_fresh_process": 0},
    "system/test_pytest_plugin.py": {
        "test_a_kept_trace_is_replayed": 0,
        "test_a_race_in_what_is_set_up_at_first_use_is_found": 0,
        "test_a_test_that_depends_on_more_than_its_schedule_is_warned_of": 0,
        "test_classes_parameters_and_fixtures": 0,
        "test_how_else_a_test_may_end": 0,
        "test_only_the_output_of_the_last_schedule_is_shown": 0,
        "test_plain_tests_beside_pytest_asyncio": 0,
        "test_the_command_line_replays_tests": 0,
        "test_the_fixture_keeps_what_fails_the_test": 0,
        "test_what_a_schedule_leaves_behind_is_named": 0,
        "test_what_was_kept_and_cannot_be_read_counts_for_nothing": 0,
        "test_where_nothing_was_shown_nothing_passes": 0,
        "test_with_xdist": 0,
    },
    "system/test_pytest_suite.py": {
        "test_sockets_between_its_threads_are_explored": 0,
        "test_its_bounds": 0,
        "test_its_replay_command_reproduces": 0,
        "test_one_that_is_timed_out_says_what_was_tried": 2,
        "test_what_cannot_be_controlled_is_named_and_stays_as_it_is": 0,
        "test_what_is_shown_is_of_the_schedule_that_fails": 0,
        "test_with_xdist": 0,
    },
    "system/test_pytest_unittest.py": {
        "test_marked": 0,
    },
    "system/test_pytest_watching.py": {
        "test_trio_may_come_with_the_test": 0,
    },
    "system/test_pytest_worth.py": {
        "test_a_cancelled_task_alone_is_worth_it": 0,
        "test_one_schedule_is_enough_where_there_is_no_other": 0,
        "test_others_are_tried_where_there_may_be_some": 0,
        "test_what_only_an_assertion_looks_at_is_seen": 0,
        "test_what_shows_nothing_is_warned_of": 0,
    },
    "system/test_python_replay.py": {
        "test_a_function_with_another_body_is_followed_as_far_as_it_goes": 0,
        "test_it_fails_the_same_way_in_fresh_processes": 0,
        "test_lines_that_have_moved_are_followed_and_named": 0,
        "test_the_same_source_and_another_start_is_a_divergence": 0,
        "test_the_story_shows_the_interleaving": 0,
        "test_the_trace_names_places_functions_and_sources": 0,
        "test_what_depends_on_hashes_of_text_says_so_and_gets_them": 0,
    },
    "system/test_python_scenarios.py": {
        "test_a_failing_worker_is_shown_with_its_traceback": 0,
        "test_args_come_after_what_setup_made": 0,
        "test_explore_finds_shrinks_and_keeps": 0,
        "test_functions_that_have_no_name_say_what_else_to_do": 0,
        "test_functions_that_were_given_in_python_are_found_by_name": 0,
        "test_gc_is_in_the_trace": 0,
        "test_replay_after_a_fix_says_what_became_of_it": 0,
        "test_replay_in_a_fresh_process": 0,
        "test_replay_needs_a_word_and_finds_the_functions_by_name": 0,
        "test_run_is_controlled_and_says_so": 0,
        "test_shrink": 0,
        "test_the_same_from_python": 0,
        "test_two_functions_of_one_name_are_two_entries": 0,
        "test_what_holds_is_verified": 0,
        "test_what_is_looked_into_besides": 0,
    },
    "system/test_report_browser.py": {
        "test_a_long_run_shows_the_part_around_the_failure": 0,
        "test_a_worker_without_a_lane_is_still_told_of": 0,
        "test_each_step_shows_the_state_that_the_frames_have": 3,
        "test_the_page_is_no_wider_than_the_window": 12,
    },
    "system/test_rewriting_soak.py": {
        "test_cpythons_tests_pass_on_rewritten_modules": 0,
    },
    "system/test_campaign.py": {
        "test_a_campaign_that_is_ended_is_gone_on_with": 0,
        "test_a_dask_cluster_of_two_takes_turns": 0,
        "test_in_a_process_of_its_own": 0,
        "test_several_processes_and_one_that_dies": 0,
    },
    "system/test_shards.py": {
        "test_a_dask_cluster": 0,
        "test_no_cluster": 0,
        "test_no_orphans": 2,
        "test_parts_of_dpor_make_exactly_the_sequential_executions": 3,
        "test_samplers_are_the_same_however_many_work": 12,
    },
    "system/test_spread_code.py": {
        "test_a_dask_cluster_shares_it": 0,
        "test_a_kept_search_is_shared_later": 0,
        "test_cancellations_are_drawn_in_each_part": 0,
        "test_it_comes_to_the_sequential_search": 8,
        "test_processes_share_it": 0,
        "test_samplers_that_learn_do_not_depend_on_who_runs_them": 0,
        "test_schedules_in_forked_processes_are_all_run": 0,
        "test_systematic_searches_come_to_the_sequential_one": 6,
        "test_what_is_kept_is_gone_on_with": 2,
    },
    "system/test_terminals.py": {
        "test_every_command_on_a_hostile_scenario": 2,
        "test_every_command_on_what_is_wrong": 2,
    },
    "system/test_trace_bombs.py": {
        "test_it_is_refused_before_it_does": 7,
    },
    "system/test_usage.py": {
        "test_every_example_works": 8,
    },
    "unit/test_linearise.py": {
        "test_any_execution_can_be_put_in_order": 50,
    },
    "unit/test_loading.py": {
        "test_a_mistake_of_syntax_makes_no_others": 6,
    },
    "unit/test_objects_tasks.py": {
        "test_asyncio_models_are_the_objects": 50,
    },
    "unit/test_report.py": {
        "test_every_read_sees_what_the_state_has": 0,
        "test_thousands_of_workers_are_told_of_in_part": 0,
    },
    "unit/test_rewriting_loading.py": {
        "test_what_the_collector_has_forgotten_is_rewritten_too": 0,
    },
    "unit/test_strategies.py": {
        "test_what_does_not_keep_to_it_is_noticed": 50,
    },
    "conformance/test_unrecorded.py": {
        "test_every_schedule_goes_the_same_way_with_a_record": 0,
    },
    "conformance/test_thread_lives.py": {
        "test_each_answer_is_found": 4,
    },
}


def pytest_configure(config: pytest.Config) -> None:
    """Where Python is told to keep nothing that it compiles, the hundreds of processes of a run
    share what they compile in a folder of the run."""
    if sys.dont_write_bytecode and "PYTEST_XDIST_WORKER" not in os.environ:
        folder = tempfile.TemporaryDirectory(prefix="tracelock-tests-", ignore_cleanup_errors=True)
        config.add_cleanup(folder.cleanup)
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = folder.name
        sys.dont_write_bytecode = False
    errors = config.stash[ERRORS] = os.dup(2)  # nothing is captured yet
    config.add_cleanup(lambda: os.close(errors))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool | None, bool | None]:
    """A test that hangs fails: the stacks of all threads are printed, without a line of Python,
    and the process ends, for which pytest-xdist says whose test it was and starts another one."""
    faulthandler.dump_traceback_later(BOUND, exit=True, file=item.config.stash[ERRORS])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One worker more than there are cores: a fifth of the time is waiting, for children to end and
    for what is stuck to be noticed."""
    usable = getattr(os, "sched_getaffinity", None)
    return (len(usable(0)) if usable else os.cpu_count() or 1) + 1


@pytest.hookimpl(tryfirst=True)  # before those that the command line does not ask for are left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    seen: Counter[tuple[str, str]] = Counter()
    for item in items:
        file = item.path.relative_to(ROOM).as_posix() if item.path.is_relative_to(ROOM) else ""
        name = item.name.partition("[")[0]
        one_in = EXTENDED.get(file, {}).get(name)
        if one_in is None:
            continue
        if not one_in or seen[file, name] % one_in:
            item.add_marker(pytest.mark.extended)
        seen[file, name] += 1


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Those that are left out are let go of, but for their number: a third of all objects, which
    each exploration of real code looks through."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    left_out = reporter.stats.get("deselected") if reporter is not None else None
    if left_out:
        left_out[:] = [SimpleNamespace()] * len(left_out)
        gc.collect()


@pytest.fixture(scope="module", autouse=True)
def nothing_is_kept_for_other_modules(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test module has cached goes with it. Each exploration of real code looks through all
    objects of the process for what is to be patched, and each forked worker is a copy of it."""
    yield
    for value in vars(request.module).values():
        if hasattr(value, "cache_clear") and value.__module__ == request.module.__name__:
            value.cache_clear()
