%% The measures on Erlang/OTP. Reads lines of a name and numbers, writes a list of nanoseconds (or counts) for each.
%% Asks are gen_server:call to a gen_server; all else is plain processes, started with a monitor where their end is
%% waited for.
-module(actors_bench).
-behaviour(gen_server).
-export([serve/0, init/1, handle_call/3, handle_cast/2]).

serve() ->
    case io:get_line("") of
        Line when is_list(Line) ->
            [Name | Numbers] = string:lexemes(Line, " \n"),
            Found = measure(list_to_atom(Name), [list_to_integer(N) || N <- Numbers]),
            io:format("~w~n", [Found]),
            serve();
        _ ->
            halt(0)
    end.

measure(otp, _) -> [list_to_integer(erlang:system_info(otp_release))];
measure(tell, [N]) ->
    Counter = counter(N),
    timed(fun() -> flood(Counter, N), done() end);
measure(tell_between, [N]) ->
    Counter = counter(N),
    Teller = spawn_link(fun() -> receive go -> flood(Counter, N) end end),
    timed(fun() -> Teller ! go, done() end);
measure(ask, [N]) ->
    {ok, Echo} = gen_server:start_link(?MODULE, [], []),
    Samples = [ask(Echo, I) || I <- lists:seq(1, N)],
    gen_server:stop(Echo),
    Samples;
measure(ask_between, [N]) ->
    {ok, Echo} = gen_server:start_link(?MODULE, [], []),
    Found = inside(fun() -> ask_often(Echo, N) end),
    gen_server:stop(Echo),
    Found;
measure(spawn, [N]) -> timed(fun() -> start_and_stop(N) end);
measure(spawn_inside, [N]) -> inside(fun() -> start_and_stop(N) end);
measure(fan_in, [N]) ->
    Each = N div 8,
    Counter = counter(Each * 8),
    Senders = [spawn_link(fun() -> receive go -> flood(Counter, Each) end end) || _ <- lists:seq(1, 8)],
    timed(fun() -> [Sender ! go || Sender <- Senders], done() end);
measure(ping_pong, [N]) -> circle(2, N);
measure(ring, [N]) -> circle(1000, N);
measure(restart, [N]) ->
    Me = self(),
    Parent = spawn_link(fun() -> parent(Me) end),
    Samples = [crash() || _ <- lists:seq(1, N)],
    unlink(Parent),
    exit(Parent, kill),
    receive {victim, _, _} -> ok end,
    Samples;
measure(live, [N, Sample]) ->
    Pids = start_many(N, []),
    Live = length(Pids),
    Step = max(1, Live div Sample),
    Chosen = [Pid || {I, Pid} <- lists:zip(lists:seq(0, Live - 1), Pids), I rem Step =:= 0],
    Answered = length([1 || Pid <- Chosen, answers(Pid)]),
    %% Those that live go on living: the resident size is read after this.
    [Live, Answered, length(Chosen)].

timed(Work) ->
    Began = erlang:monotonic_time(nanosecond),
    Work(),
    [erlang:monotonic_time(nanosecond) - Began].

inside(Work) ->
    Me = self(),
    spawn_link(fun() -> Me ! {found, timed(Work)} end),
    receive {found, Found} -> Found end.

done() -> receive done -> ok end.

counter(N) ->
    Me = self(),
    spawn_link(fun() -> count(N, Me) end).

count(0, Who) -> Who ! done;
count(Left, Who) -> receive N when is_integer(N) -> count(Left - 1, Who) end.

flood(_, 0) -> ok;
flood(Who, N) -> Who ! N, flood(Who, N - 1).

ask(Echo, Message) ->
    Began = erlang:monotonic_time(nanosecond),
    Message = gen_server:call(Echo, Message, infinity),
    erlang:monotonic_time(nanosecond) - Began.

ask_often(_, 0) -> ok;
ask_often(Echo, N) -> N = gen_server:call(Echo, N, infinity), ask_often(Echo, N - 1).

start_and_stop(0) -> ok;
start_and_stop(N) ->
    {Pid, Monitor} = spawn_monitor(fun idle/0),
    Pid ! stop,
    receive {'DOWN', Monitor, process, Pid, normal} -> start_and_stop(N - 1) end.

idle() ->
    receive
        stop -> ok;
        {ask, From, Message} -> From ! {answer, Message}, idle()
    end.

circle(Size, N) ->
    Me = self(),
    Nodes = [spawn_link(fun() -> node_of(Me) end) || _ <- lists:seq(1, Size)],
    [First | Rest] = Nodes,
    [Node ! {next, Next} || {Node, Next} <- lists:zip(Nodes, Rest ++ [First])],
    Took = timed(fun() -> First ! N, done() end),
    [Node ! stop || Node <- Nodes],
    Took.

node_of(Who) -> receive {next, Next} -> hop(Who, Next) end.

hop(Who, Next) ->
    receive
        0 -> Who ! done, hop(Who, Next);
        N when is_integer(N) -> Next ! N - 1, hop(Who, Next);
        stop -> ok
    end.

parent(Who) ->
    {Pid, Monitor} = spawn_monitor(fun() ->
        Who ! {victim, self(), erlang:monotonic_time(nanosecond)},
        receive crash -> error(meant) end
    end),
    receive {'DOWN', Monitor, process, Pid, _} -> parent(Who) end.

crash() ->
    receive {victim, Pid, _} ->
        Crashed = erlang:monotonic_time(nanosecond),
        Pid ! crash,
        receive {victim, _, Begun} = Next ->
            self() ! Next,
            Begun - Crashed
        end
    end.

start_many(0, Pids) -> Pids;
start_many(N, Pids) ->
    try spawn(fun idle/0) of
        Pid -> start_many(N - 1, [Pid | Pids])
    catch
        error:system_limit -> Pids
    end.

answers(Pid) ->
    Pid ! {ask, self(), Pid},
    receive {answer, Pid} -> true after 5000 -> false end.

init([]) -> {ok, none}.
handle_call(Message, _From, State) -> {reply, Message, State}.
handle_cast(_, State) -> {noreply, State}.
