%% The measures on OTP's supervisor; its children are gen_servers. Reads lines of a name and a number, writes a list of
%% nanoseconds (or counts) for each.
-module(supervision_bench).
-export([serve/0, init/1, handle_call/3, handle_cast/2, handle_info/2, start_victim/1, start_idle/0, start_task/2]).

-define(BATCH, 100).
-define(ALLOWED, 100000).

serve() ->
    process_flag(trap_exit, true),
    loop().

loop() ->
    case io:get_line("") of
        Line when is_list(Line) ->
            [Name, Number] = string:lexemes(Line, " \n"),
            io:format("~w~n", [measure(list_to_atom(Name), list_to_integer(Number))]),
            loop();
        _ ->
            halt(0)
    end.

measure(otp, _) -> [list_to_integer(erlang:system_info(otp_release))];
measure(restart, Count) ->
    lists:append([restarts() || _ <- lists:seq(1, ceil(Count / ?BATCH))]);
measure(restart_logged, Count) ->
    logger:remove_handler(default),
    logger:set_primary_config(level, notice),
    Samples = measure(restart, Count),
    logger:set_primary_config(level, none),
    Samples;
measure(storm, Count) ->
    Times = ceil(Count / (10 * ?BATCH)),
    [lists:sum([storm() || _ <- lists:seq(1, Times)]), Times * 10 * ?BATCH];
measure(tasks, Count) ->
    {ok, Sup} = supervisor(simple_one_for_one, [spec(task, {?MODULE, start_task, []}, temporary)]),
    Took = timed(fun() -> tasks(Sup, Count) end),
    stop(Sup),
    [Took, Count];
measure(children, Size) ->
    Specs = [spec(Number, {?MODULE, start_idle, []}, permanent) || Number <- lists:seq(1, Size)],
    Began = now_ns(),
    {ok, Sup} = supervisor(one_for_one, Specs),
    [now_ns() - Began, timed(fun() -> stop(Sup) end)];
measure(dynamic, Size) ->
    {ok, Sup} = supervisor(simple_one_for_one, [spec(idle, {?MODULE, start_idle, []}, permanent)]),
    Started = timed(fun() -> [{ok, _} = supervisor:start_child(Sup, []) || _ <- lists:seq(1, Size)] end),
    [Started, timed(fun() -> stop(Sup) end)].

now_ns() -> erlang:monotonic_time(nanosecond).

timed(Work) ->
    Began = now_ns(),
    Work(),
    now_ns() - Began.

supervisor(Strategy, Specs) ->
    Flags = #{strategy => Strategy, intensity => ?ALLOWED, period => 5},
    supervisor:start_link(?MODULE, {supervisor, {Flags, Specs}}).

spec(Id, Start, Restart) -> #{id => Id, start => Start, restart => Restart, shutdown => 5000}.

stop(Sup) ->
    exit(Sup, shutdown),
    receive {'EXIT', Sup, shutdown} -> ok end.

victims(Count) ->
    Start = {?MODULE, start_victim, [self()]},
    {ok, Sup} = supervisor(one_for_one, [spec(Number, Start, permanent) || Number <- lists:seq(1, Count)]),
    Sup.

begun() -> receive {begun, Pid, At} -> {Pid, At} end.

restarts() ->
    Sup = victims(1),
    {First, _} = begun(),
    Samples = restarts(?BATCH, First),
    stop(Sup),
    Samples.

restarts(0, _) -> [];
restarts(Left, Victim) ->
    Crashed = now_ns(),
    Victim ! crash,
    {Next, Begun} = begun(),
    [Begun - Crashed | restarts(Left - 1, Next)].

storm() ->
    Sup = victims(?BATCH),
    Took = storm(10, [begun() || _ <- lists:seq(1, ?BATCH)], 0),
    stop(Sup),
    Took.

storm(0, _, Took) -> Took;
storm(Left, Victims, Took) ->
    Began = now_ns(),
    [Victim ! crash || {Victim, _} <- Victims],
    Restarted = [begun() || _ <- Victims],
    storm(Left - 1, Restarted, Took + now_ns() - Began).

tasks(_, 0) -> ok;
tasks(Sup, Left) ->
    {ok, Pid} = supervisor:start_child(Sup, [self(), fun() -> abs(Left) end]),
    receive {result, Pid, Left} -> tasks(Sup, Left - 1) end.

start_task(Who, Work) ->
    proc_lib:start_link(erlang, apply, [fun() ->
        proc_lib:init_ack({ok, self()}),
        Who ! {result, self(), Work()}
    end, []]).

start_victim(Who) -> gen_server:start_link(?MODULE, {victim, Who}, []).
start_idle() -> gen_server:start_link(?MODULE, idle, []).

init({supervisor, Found}) -> {ok, Found};
init({victim, Who}) ->
    Who ! {begun, self(), now_ns()},
    {ok, Who};
init(idle) -> {ok, idle}.

handle_call(_, _From, State) -> {reply, ok, State}.
handle_cast(_, State) -> {noreply, State}.
handle_info(crash, _) -> error(meant).
