//! The solver from outside: what runs, what is loaded, what is told. Things are counted, so that
//! what must not happen is seen when it does.
//!
//! What a simple design of a solver gets wrong, and the test that fails when this one does; `cargo xtask mutations`
//! breaks each on purpose and says which test noticed:
//!
//! | point | test |
//! |---|---|
//! | 1 question to demand restarts nothing | `sharing::going_from_question_to_demand_restarts_nothing`, `sharing::a_lookup_that_ends_early_stops_nothing_that_the_result_will_want`, `sharing::hundreds_of_inputs_are_not_restarted_either` |
//! | 2 in memory before in the store | `sharing::what_was_just_made_is_not_loaded` |
//! | 3 a finished edge offers its keys | `sharing::a_finished_vertex_is_looked_up_by_what_it_learnt` |
//! | 4 a forced run is not looked up through | `lookup::a_forced_run_is_not_looked_up_through_but_its_content_counts`, `sharing::what_is_made_of_a_forced_run_is_not_what_another_job_made_before` |
//! | 5 forced never joins unforced, unforced may join forced | `sharing::forced_never_joins_unforced`, `sharing::unforced_joins_forced` |
//! | 6 what is matched by definition is not hashed | `lookup::an_input_known_by_its_definition_is_not_loaded_for_hashing` |
//! | 7 a content match teaches the definition | `lookup::a_match_by_content_teaches_the_definition` |
//! | 8 selectors are no part of content keys | `lookup::selectors_belong_to_definition_keys` |
//! | 9 roots of several names | `lookup::a_root_is_saved_under_all_its_names_and_asked_for_them_one_by_one` |
//! | 10 loads that fail | `lookup::a_load_that_fails_falls_back_to_the_next_record`, `lookup::where_nothing_loads_it_runs_and_the_failure_is_remembered` |
//! | 11 "cancelled" by itself is an error | `cancel::an_operation_that_says_cancelled_by_itself_has_failed` |
//! | 12 a sub-build equal to its parent | `sub_builds::a_sub_build_equal_to_its_parent_does_not_join_it`, `sub_builds::a_sub_build_equal_to_its_parent_that_has_joined_it_leaves_it_again` |
//! | 13 keys without records lead on | `lookup::a_key_without_a_record_leads_on` |
//! | 14 session-bound roots | `lookup::session_bound_roots_are_found_by_their_content_only` |
//! | 15, 16 content of exec mounts, keys equal to BuildKit's | not here: `worker/src/ops/cache_key` |
//! | 17 lazy inputs | `lookup::lazy_inputs_are_made_real_before_running_but_not_for_a_hit`, `imports::what_is_lost_is_made_anew`, `imports::a_lazy_result_is_made_real_for_who_reads_it` |
//! | 18 limits around running only | `sharing::a_limit_on_parallelism_is_held_only_while_running`, `sharing::a_job_of_one_at_a_time_can_have_sub_builds` |
//! | 19 options of those far below | `imports::loading_sees_the_options_of_vertices_far_below` |
//! | 20 any live session | `sharing::shared_work_may_use_the_sessions_of_all_live_jobs` |
//! | 21 cached inputs, cut-short vertices | `progress::inputs_of_a_cached_vertex_that_nobody_looked_at_are_cached`, `what_is_open_at_the_end_was_cut_short_unless_it_was_cached` in `src/progress/stream.rs` |
//! | 22 errors stay, cancellations do not | `errors::errors_are_remembered_as_long_as_the_vertex_lives`, `cancel::cancelled_work_is_made_anew_by_the_next_who_asks` |

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cancel;
mod chance;
mod errors;
mod imports;
mod lookup;
mod model;
mod progress;
mod random;
mod sharing;
mod sub_builds;
mod traces;
mod world;
