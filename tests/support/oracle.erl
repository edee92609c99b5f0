%% Runs scenarios on OTP's supervisor, for tests/supervision/test_oracle.py, which says what a scenario is. Reads one a
%% line as a term of lists, atoms and integers; writes what it saw, a line each, as such a term.
-module(oracle).
-behaviour(supervisor).
-export([serve/0, init/1, start/1]).

-define(TABLE, oracle).

serve() ->
    process_flag(trap_exit, true),
    logger:set_primary_config(level, none),
    loop().

loop() ->
    case io:get_line("") of
        eof ->
            halt(0);
        Line ->
            {ok, Tokens, _} = erl_scan:string(Line ++ "."),
            {ok, Scenario} = erl_parse:parse_term(Tokens),
            io:format("~w~n", [scenario(Scenario)]),
            loop()
    end.

scenario([Strategy, Intensity, AutoShutdown, Specs, Outcomes, Steps]) ->
    ets:new(?TABLE, [named_table, public, ordered_set]),
    ets:insert(?TABLE, [{count, 0}, {controller, self()}]),
    plan(Outcomes, [[], []]),
    Flags = #{strategy => Strategy, intensity => Intensity, period => 3600, auto_shutdown => AutoShutdown},
    Seen =
        case supervisor:start_link(?MODULE, {Flags, [spec(Spec) || Spec <- Specs]}) of
            {ok, Sup} ->
                Monitor = monitor(process, Sup),
                [[ok, [], journal(), children(Sup, Monitor)] | steps(Sup, Monitor, Steps)];
            {error, {shutdown, {failed_to_start_child, Id, _}}} ->
                [[[failed, Id], [], journal(), [down, shutdown]]]
        end,
    ets:delete(?TABLE),
    forget_messages(),
    Seen.

init(Arguments) -> {ok, Arguments}.

steps(Sup, Monitor, []) ->
    exit(Sup, shutdown),
    receive {'DOWN', Monitor, process, Sup, Reason} -> [[ok, [], journal(), [down, Reason]]] end;
steps(Sup, Monitor, [[Outcomes, During, Action] | Rest]) ->
    plan(Outcomes, During),
    Reply = act(Sup, Action),
    %% Afterwards, what came while a start failed is in the queue; it need not be through.
    Before = children(Sup, Monitor),
    State = case Before of [up, _] -> children(Sup, Monitor); _ -> Before end,
    Seen = [Reply, calls(), journal(), State],
    case State of
        [down, _] -> [Seen];
        _ -> [Seen | steps(Sup, Monitor, Rest)]
    end.

%% What the next starts of children do, and what happens in the first of them that fails.
plan(Outcomes, [Ends, Calls]) ->
    ets:match_delete(?TABLE, {{outcomes, '_'}, '_'}),
    ets:insert(?TABLE, [{{outcomes, Id}, Next} || [Id, Next] <- Outcomes]),
    ets:insert(?TABLE, [{during, Ends, Calls}, {calls, 0}]).

act(Sup, ['end', Id, Reason]) -> finish(Sup, Id, Reason), ok;
act(Sup, Call) ->
    try gen_server:call(Sup, request(Call), infinity) of
        Reply -> reply(Reply)
    catch
        exit:_ -> dead
    end.

request([start, Spec]) -> {start_child, spec(Spec)};
request([terminate, Id]) -> {terminate_child, Id};
request([restart, Id]) -> {restart_child, Id};
request([delete, Id]) -> {delete_child, Id}.

reply(ok) -> ok;
reply({ok, _}) -> ok;
reply({error, {already_started, _}}) -> already_started;
reply({error, {boom, _}}) -> boom;
reply({error, {_, _}}) -> invalid;
reply({error, Reason}) -> Reason.

spec([Id, Restart, Shutdown, Significant]) ->
    #{id => Id, start => {?MODULE, start, [Id]}, restart => Restart, shutdown => Shutdown, significant => Significant}.

%% In the supervisor.
start(Id) ->
    case next(Id) of
        ok ->
            log([start, Id]),
            Parent = self(),
            Pid = spawn_link(fun() ->
                process_flag(trap_exit, true),
                Parent ! {ready, self()},
                child(Id, Parent)
            end),
            receive {ready, Pid} -> ok end,
            ets:insert(?TABLE, {{pid, Id}, Pid}),
            {ok, Pid};
        ignore ->
            log([ignore, Id]),
            ignore;
        boom ->
            log([boom, Id]),
            [{during, Ends, Calls}] = ets:lookup(?TABLE, during),
            ets:insert(?TABLE, {during, [], []}),
            [finish(self(), Ended, Reason) || [Ended, Reason] <- Ends],
            [call_later(Call) || Call <- Calls],
            {error, boom}
    end.

next(Id) ->
    case ets:lookup(?TABLE, {outcomes, Id}) of
        [{_, [Outcome | Rest]}] ->
            ets:insert(?TABLE, {{outcomes, Id}, Rest}),
            Outcome;
        _ ->
            ok
    end.

%% A call that stands in the supervisor's queue before what the supervisor sends itself next.
call_later(Call) ->
    [{controller, Controller}] = ets:lookup(?TABLE, controller),
    self() ! {'$gen_call', {Controller, {call, ets:update_counter(?TABLE, calls, 1)}}, request(Call)}.

calls() ->
    [{calls, Count}] = ets:lookup(?TABLE, calls),
    [receive {{call, Number}, Reply} -> reply(Reply) after 0 -> dead end || Number <- lists:seq(1, Count)].

child(Id, Parent) ->
    receive
        {finish, Reason} -> log(['end', Id]), exit(Reason);
        {'EXIT', Parent, Reason} -> log(['end', Id]), exit(Reason)
    end.

%% Returns when the supervisor has the exit signal.
finish(Sup, Id, Reason) ->
    case ets:lookup(?TABLE, {pid, Id}) of
        [{_, Pid}] ->
            Monitor = monitor(process, Pid),
            case Reason of
                kill -> exit(Pid, kill);
                detail -> Pid ! {finish, {shutdown, detail}};
                _ -> Pid ! {finish, Reason}
            end,
            receive {'DOWN', Monitor, process, Pid, _} -> ok end,
            wait_unlinked(Sup, Pid);
        [] ->
            ok
    end.

wait_unlinked(Sup, Pid) ->
    case process_info(Sup, links) of
        {links, Links} ->
            case lists:member(Pid, Links) of
                true -> erlang:yield(), wait_unlinked(Sup, Pid);
                false -> ok
            end;
        undefined ->
            ok
    end.

%% In the order of their first start, when nothing is being restarted any more.
children(Sup, Monitor) ->
    try supervisor:which_children(Sup) of
        Children ->
            case lists:keymember(restarting, 2, Children) of
                true -> children(Sup, Monitor);
                false -> [up, [[Id, state(Pid)] || {Id, Pid, _, _} <- lists:reverse(Children)]]
            end
    catch
        exit:_ -> receive {'DOWN', Monitor, process, Sup, Reason} -> [down, Reason] end
    end.

state(undefined) -> stopped;
state(_) -> running.

log(Event) ->
    ets:insert(?TABLE, {{log, ets:update_counter(?TABLE, count, 1)}, Event}).

journal() ->
    Events = [Event || [Event] <- ets:match(?TABLE, {{log, '_'}, '$1'})],
    ets:match_delete(?TABLE, {{log, '_'}, '_'}),
    Events.

forget_messages() ->
    receive _ -> forget_messages() after 0 -> ok end.
