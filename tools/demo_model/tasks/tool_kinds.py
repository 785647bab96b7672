"""Kinds of tools: what they are called, take, are asked for and give back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable

import words
from conversation import Rng

Draw = Callable[[Rng], Any]


@dataclass(frozen=True)
class Param:
    """A parameter of a tool: canonical key, names it may have, JSON type, how to draw a value."""

    key: str
    names: list[str]
    type: str
    draw: Draw
    about: list[str]
    optional: list[str] = field(default_factory=list)
    enum: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Kind:
    """A kind of tool. `asks` use {key}; `result` draws result fields; `reply` uses {key} and the result fields."""

    names: list[str]
    about: list[str]
    params: list[Param]
    asks: list[str]
    result: dict[str, Draw]
    reply: str
    shows: list[str]


def _int(low: int, high: int) -> Draw:
    return lambda r: r.randint(low, high)


def _of(items: list[str]) -> Draw:
    return lambda r: r.choice(items)


def _phrase(low: int = 1, high: int = 4) -> Draw:
    return lambda r: words.phrase(r, low, high)


def _bool(r: Rng) -> bool:
    return r.random() < 0.5


CITY = Param(
    "city", ["city", "location", "place", "town"], "string", words.city, ["Name of the city", "The city", "City name"]
)
_SKY = ["sunny", "cloudy", "rainy", "windy", "foggy", "snowy", "clear", "stormy"]
_OK: dict[str, Draw] = {"status": _of(["ok", "done", "success"])}

KINDS: list[Kind] = [
    Kind(
        ["get_weather", "weather", "getWeather", "current_weather", "weather_lookup", "fetch_weather"],
        ["Get the current weather for a city", "Get weather", "Current weather of a place", "Look up the weather."],
        [CITY],
        [
            "What is the weather in {city}?",
            "How is the weather in {city}?",
            "What's the weather like in {city} today?",
            "Tell me the weather in {city}.",
            "weather in {city}",
            "Is it raining in {city}?",
            "Weather for {city} please.",
            "How warm is it in {city}?",
            "Check the weather in {city}.",
            "What is the weather in {city} right now?",
        ],
        {"temperature": _int(-15, 40), "condition": _of(_SKY)},
        "It is {temperature} degrees and {condition} in {city}.",
        ["temperature", "condition"],
    ),
    Kind(
        ["get_current_weather", "get_weather", "weather", "weather_report"],
        ["Get the current weather in a given location", "Get weather", "Weather report"],
        [
            CITY,
            Param(
                "unit",
                ["unit", "units", "scale"],
                "string",
                _of(["celsius", "fahrenheit"]),
                ["Temperature unit"],
                [" in {unit}"],
                ["celsius", "fahrenheit"],
            ),
        ],
        [
            "What is the weather in {city}{unit}?",
            "What's the weather like in {city}{unit}?",
            "How is the weather in {city}{unit}?",
            "Tell me the weather in {city}{unit}.",
            "Weather in {city}{unit} please.",
        ],
        {"temperature": _int(-15, 40), "condition": _of(_SKY)},
        "It is {temperature} degrees and {condition} in {city}.",
        ["temperature", "condition"],
    ),
    Kind(
        ["weather_days", "get_weather", "weather", "daily_weather"],
        ["Get weather", "Weather of a city for some days"],
        [CITY, Param("days", ["days", "num_days"], "integer", _int(2, 10), ["Number of days"], [" for {days} days"])],
        [
            "What is the weather in {city}{days}?",
            "How is the weather in {city}{days}?",
            "Show me the weather in {city}{days}.",
            "I want to know the weather in {city}{days}.",
        ],
        {"weather": _of(_SKY)},
        "The weather in {city} is {weather}.",
        ["weather"],
    ),
    Kind(
        ["get_forecast", "forecast", "weather_forecast", "getForecast"],
        ["Get the weather forecast for the next days", "Forecast for a city"],
        [
            CITY,
            Param(
                "days", ["days", "num_days", "day_count"], "integer", _int(2, 14), ["Number of days", "How many days"]
            ),
        ],
        [
            "Give me the forecast for {city} for {days} days.",
            "What is the {days} day forecast for {city}?",
            "Forecast for the next {days} days in {city}, please.",
            "How will the weather be in {city} for the next {days} days?",
        ],
        {"forecast": _of(_SKY)},
        "The next {days} days in {city} will be {forecast}.",
        ["forecast"],
    ),
    Kind(
        ["get_time", "current_time", "world_clock", "getTime", "time_in_city"],
        ["Get the current time in a city", "Local time of a place"],
        [CITY],
        [
            "What time is it in {city}?",
            "Tell me the time in {city}.",
            "time in {city}",
            "What is the local time in {city}?",
            "Can you check the time in {city}?",
        ],
        {"time": words.clock},
        "It is {time} in {city}.",
        ["time"],
    ),
    Kind(
        ["now", "get_current_date", "today", "get_date", "current_date", "getToday"],
        ["Get today's date", "Current date", "Returns the date of today"],
        [],
        [
            "What day is it today?",
            "What is today's date?",
            "Which date is today?",
            "Tell me the date.",
            "What's the date?",
        ],
        {"date": lambda r: f"{r.randint(2020, 2035)}-{r.randint(1, 12):02d}-{r.randint(1, 28):02d}"},
        "Today is {date}.",
        ["date"],
    ),
    Kind(
        ["send_email", "email", "sendEmail", "mail_send"],
        ["Send an email", "Send an email to someone"],
        [
            Param("to", ["to", "recipient", "address"], "string", words.email, ["Email address", "Who gets the email"]),
            Param("subject", ["subject", "title"], "string", _phrase(), ["Subject line", "Subject of the email"]),
        ],
        [
            "Send an email to {to} with the subject {subject}.",
            'Email {to} about "{subject}".',
            "Write an email to {to}, subject: {subject}",
            'Please send a mail to {to} with subject "{subject}".',
        ],
        _OK,
        "The email to {to} was sent.",
        ["to"],
    ),
    Kind(
        ["send_message", "text_message", "sendMessage", "message_user"],
        ["Send a text message", "Send a message to a person"],
        [
            Param(
                "to",
                ["to", "recipient", "name", "contact"],
                "string",
                words.person,
                ["Name of the person", "Recipient"],
            ),
            Param(
                "text",
                ["text", "message", "body", "content"],
                "string",
                _phrase(2, 5),
                ["Text of the message", "What to say"],
            ),
        ],
        [
            "Send a message to {to}: {text}",
            'Text {to} "{text}".',
            "Tell {to} by message: {text}",
            'Message {to} that says "{text}".',
            'Send {to} the message "{text}".',
        ],
        _OK,
        "Your message to {to} was sent.",
        ["to"],
    ),
    Kind(
        ["set_timer", "timer", "start_timer", "setTimer"],
        ["Start a timer", "Set a timer in minutes"],
        [Param("minutes", ["minutes", "duration", "mins"], "integer", _int(1, 120), ["Length in minutes", "Minutes"])],
        [
            "Set a timer for {minutes} minutes.",
            "Start a {minutes} minute timer.",
            "timer {minutes} minutes",
            "Please set a timer for {minutes} minutes.",
            "Wake me in {minutes} minutes.",
        ],
        _OK,
        "The timer is set for {minutes} minutes.",
        ["minutes"],
    ),
    Kind(
        ["set_alarm", "alarm", "create_alarm"],
        ["Set an alarm", "Set an alarm clock"],
        [Param("time", ["time", "at", "alarm_time"], "string", words.clock, ["Time of the alarm", "When it rings"])],
        ["Set an alarm for {time}.", "Wake me up at {time}.", "Alarm at {time} please.", "Create an alarm at {time}."],
        _OK,
        "The alarm is set for {time}.",
        ["time"],
    ),
    Kind(
        ["search_web", "web_search", "search", "google", "searchWeb"],
        ["Search the web", "Search the internet for a query"],
        [
            Param(
                "query",
                ["query", "q", "search_query", "text"],
                "string",
                _phrase(1, 5),
                ["What to search for", "Search query"],
            )
        ],
        [
            "Search the web for {query}.",
            "Look up {query} online.",
            "Google {query}",
            'Search for "{query}".',
            "Find information about {query} on the internet.",
            "search {query}",
        ],
        {"results": _int(2, 99), "top": lambda r: words.phrase(r, 1, 3)},
        "I found {results} results. The first one is: {top}.",
        ["results", "top"],
    ),
    Kind(
        ["translate", "translate_text", "translator"],
        ["Translate text", "Translate a text into another language"],
        [
            Param("text", ["text", "input", "phrase"], "string", _phrase(1, 3), ["Text to translate", "The text"]),
            Param(
                "language",
                ["language", "target", "target_language", "to"],
                "string",
                _of(words.LANGUAGES),
                ["Target language"],
            ),
        ],
        [
            'Translate "{text}" into {language}.',
            "Translate {text} to {language}.",
            "How do you say {text} in {language}?",
            'What is "{text}" in {language}?',
        ],
        {"translation": lambda r: words.pseudo_word(r)},
        "In {language} it is: {translation}",
        ["translation"],
    ),
    Kind(
        ["get_stock_price", "stock_price", "quote", "getStockPrice"],
        ["Get the price of a stock", "Stock quote"],
        [
            Param(
                "symbol",
                ["symbol", "ticker", "stock"],
                "string",
                lambda r: "".join(r.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(r.randint(2, 4))),
                ["Ticker symbol"],
            )
        ],
        [
            "What is the stock price of {symbol}?",
            "Price of {symbol} stock?",
            "How is {symbol} trading?",
            "Get the quote for {symbol}.",
        ],
        {"price": _int(2, 999)},
        "{symbol} is at {price} dollars.",
        ["price"],
    ),
    Kind(
        ["convert_currency", "currency_converter", "exchange"],
        ["Convert money between currencies", "Currency conversion"],
        [
            Param("amount", ["amount", "value", "sum"], "integer", _int(1, 5000), ["Amount of money"]),
            Param(
                "from",
                ["from", "source", "from_currency"],
                "string",
                _of(["USD", "EUR", "GBP", "JPY", "CHF"]),
                ["Source currency"],
            ),
            Param(
                "to",
                ["to", "target", "to_currency"],
                "string",
                _of(["CNY", "INR", "CAD", "AUD", "KRW"]),
                ["Target currency"],
            ),
        ],
        [
            "Convert {amount} {from} to {to}.",
            "How much is {amount} {from} in {to}?",
            "Exchange {amount} {from} into {to}.",
        ],
        {"result": _int(1, 9999)},
        "{amount} {from} is {result} {to}.",
        ["result"],
    ),
    Kind(
        ["calculator", "calculate", "calc", "evaluate", "math"],
        ["Evaluate a math expression", "A calculator"],
        [
            Param(
                "expression",
                ["expression", "expr", "formula", "input"],
                "string",
                lambda r: f"{r.randint(1, 9999)} {r.choice('+-*/')} {r.randint(1, 999)}",
                ["Expression to evaluate", "The expression"],
            )
        ],
        [
            "What is {expression}?",
            "Calculate {expression}.",
            "Compute {expression}",
            "{expression}",
            "Use the calculator for {expression}.",
        ],
        {"result": _int(0, 99999)},
        "{expression} = {result}.",
        ["result"],
    ),
    Kind(
        ["add", "add_numbers", "sum"],
        ["Add two numbers", "Returns a + b"],
        [
            Param("a", ["a", "x", "first"], "integer", _int(0, 999), ["First number"]),
            Param("b", ["b", "y", "second"], "integer", _int(0, 999), ["Second number"]),
        ],
        ["Add {a} and {b}.", "What is {a} plus {b}?", "What is {a} + {b}?", "Sum {a} and {b}."],
        {"result": _int(0, 1999)},
        "The result is {result}.",
        ["result"],
    ),
    Kind(
        ["create_event", "add_event", "calendar_add", "createEvent"],
        ["Add an event to the calendar", "Create a calendar event"],
        [
            Param("title", ["title", "name", "event"], "string", _phrase(1, 3), ["Title of the event"]),
            Param("day", ["day", "date", "weekday"], "string", _of(words.DAYS), ["Day of the event"]),
            Param("time", ["time", "start", "start_time"], "string", words.clock, ["Start time"], [" at {time}"]),
        ],
        [
            'Add "{title}" to my calendar on {day}{time}.',
            "Create an event called {title} on {day}{time}.",
            "Put {title} in my calendar for {day}{time}.",
            "Schedule {title} on {day}{time}.",
        ],
        _OK,
        "{title} is in your calendar for {day}.",
        ["title", "day"],
    ),
    Kind(
        ["read_file", "open_file", "cat_file", "readFile"],
        ["Read a file", "Returns the text of a file"],
        [
            Param(
                "path",
                ["path", "file", "filename", "file_path"],
                "string",
                words.filename,
                ["Path of the file", "File name"],
            )
        ],
        [
            "Read the file {path}.",
            "What is in {path}?",
            "Show me {path}.",
            "Open {path} please.",
            "Print the contents of {path}.",
        ],
        {"content": lambda r: words.phrase(r, 2, 5)},
        "The file {path} says: {content}",
        ["content"],
    ),
    Kind(
        ["delete_file", "remove_file", "rm"],
        ["Delete a file", "Remove a file from disk"],
        [
            Param("path", ["path", "file", "filename"], "string", words.filename, ["Path of the file"]),
            Param(
                "force",
                ["force", "permanent", "skip_trash"],
                "boolean",
                _bool,
                ["Do not ask"],
                [" with {name} set to {force}"],
            ),
        ],
        ["Delete the file {path}{force}.", "Remove {path}{force}.", "Please delete {path}{force}."],
        _OK,
        "The file {path} was deleted.",
        ["path"],
    ),
    Kind(
        ["list_files", "ls", "listFiles", "show_files"],
        ["List all files", "List the files in the current folder"],
        [],
        ["Which files are there?", "List my files.", "Show all files.", "What files do I have?"],
        {"files": lambda r: [words.filename(r).split("/")[-1] for _ in range(r.randint(2, 3))]},
        "Your files are: {files}.",
        ["files"],
    ),
    Kind(
        ["set_light", "switch_light", "light", "control_light"],
        ["Switch a light on or off", "Control the lights"],
        [
            Param(
                "room",
                ["room", "location", "area"],
                "string",
                _of("kitchen bedroom bathroom garage hallway office attic".split()),
                ["Room of the light"],
            ),
            Param(
                "on", ["on", "state", "enabled", "power"], "boolean", _bool, ["true for on, false for off", "On or off"]
            ),
        ],
        [
            "Turn {on} the light in the {room}.",
            "Switch {on} the {room} light.",
            "Turn the {room} light {on}.",
            "{room} light {on}",
            "Please switch the light in the {room} {on}.",
        ],
        _OK,
        "The {room} light is {on} now.",
        ["room"],
    ),
    Kind(
        ["set_temperature", "thermostat", "set_heating", "setTemperature"],
        ["Set the temperature of a room", "Control the heating"],
        [
            Param(
                "room",
                ["room", "zone", "location"],
                "string",
                _of("kitchen bedroom bathroom garage hallway office attic".split()),
                ["Which room"],
            ),
            Param("degrees", ["degrees", "temperature", "value"], "integer", _int(10, 30), ["Target temperature"]),
        ],
        [
            "Set the {room} to {degrees} degrees.",
            "Make it {degrees} degrees in the {room}.",
            "Set the temperature in the {room} to {degrees}.",
            "Heat the {room} to {degrees} degrees.",
        ],
        _OK,
        "The {room} is set to {degrees} degrees.",
        ["degrees"],
    ),
    Kind(
        ["play_music", "play_song", "music_player", "playMusic"],
        ["Play music", "Play a song"],
        [
            Param("song", ["song", "title", "track", "query"], "string", _phrase(1, 3), ["Name of the song"]),
            Param(
                "shuffle",
                ["shuffle", "repeat", "loop"],
                "boolean",
                _bool,
                ["Play mode"],
                [" with {name} set to {shuffle}"],
            ),
        ],
        [
            "Play {song}{shuffle}.",
            'Play the song "{song}"{shuffle}.',
            "Put on {song}{shuffle}.",
            "I want to hear {song}{shuffle}.",
        ],
        _OK,
        "Now playing {song}.",
        ["song"],
    ),
    Kind(
        ["book_table", "reserve_table", "bookTable"],
        ["Book a table in a restaurant", "Reserve a table"],
        [
            Param(
                "restaurant",
                ["restaurant", "name", "place"],
                "string",
                lambda r: words.phrase(r, 1, 2).title(),
                ["Restaurant"],
            ),
            Param("people", ["people", "guests", "party_size"], "integer", _int(1, 12), ["Number of people"]),
            Param("time", ["time", "at"], "string", words.clock, ["Time"]),
        ],
        [
            "Book a table at {restaurant} for {people} people at {time}.",
            "Reserve a table for {people} at {restaurant}, {time}.",
            "I need a table for {people} at {restaurant} at {time}.",
        ],
        {"confirmation": words.code},
        "Your table at {restaurant} is booked. The confirmation is {confirmation}.",
        ["confirmation"],
    ),
    Kind(
        ["get_user", "find_user", "user_info", "getUser"],
        ["Get a user by id", "Look up a user"],
        [Param("id", ["user_id", "id", "uid"], "integer", _int(1, 99999), ["Id of the user"])],
        ["Who is user {id}?", "Get user {id}.", "Look up the user with id {id}.", "Show user number {id}."],
        {"name": words.person, "age": _int(18, 80)},
        "User {id} is {name}, {age} years old.",
        ["name", "age"],
    ),
    Kind(
        ["create_user", "add_user", "register_user"],
        ["Create a new user", "Register a user"],
        [
            Param("name", ["name", "username", "user"], "string", words.person, ["Name of the user"]),
            Param("age", ["age", "years"], "integer", _int(10, 90), ["Age"]),
            Param(
                "admin",
                ["admin", "is_admin", "superuser"],
                "boolean",
                _bool,
                ["Admin rights"],
                [" with {name_} {admin}"],
            ),
        ],
        [
            "Create a user called {name}, age {age}{admin}.",
            "Add the user {name} who is {age} years old{admin}.",
            "Register {name}, {age} years old{admin}.",
        ],
        {"id": _int(1, 9999)},
        "The user {name} was created with id {id}.",
        ["id"],
    ),
    Kind(
        ["order_pizza", "pizza_order", "orderPizza"],
        ["Order pizza", "Order a pizza for delivery"],
        [
            Param(
                "topping",
                ["topping", "kind", "type"],
                "string",
                _of("cheese mushroom tomato onion spinach salami tuna".split()),
                ["Topping"],
            ),
            Param("quantity", ["quantity", "count", "number"], "integer", _int(1, 9), ["How many"]),
        ],
        [
            "Order {quantity} {topping} pizzas.",
            "I want {quantity} pizzas with {topping}.",
            "Get me {quantity} {topping} pizzas please.",
        ],
        {"minutes": _int(10, 90)},
        "Your {quantity} {topping} pizzas arrive in {minutes} minutes.",
        ["minutes"],
    ),
    Kind(
        ["random_number", "roll", "get_random"],
        ["Draw a random number", "Random integer between two limits"],
        [
            Param("min", ["min", "low", "start"], "integer", _int(0, 10), ["Lower limit"]),
            Param("max", ["max", "high", "end"], "integer", _int(11, 1000), ["Upper limit"]),
        ],
        [
            "Give me a random number between {min} and {max}.",
            "Pick a number from {min} to {max}.",
            "Random number from {min} to {max}",
        ],
        {"number": _int(0, 1000)},
        "The number is {number}.",
        ["number"],
    ),
    Kind(
        ["flip_coin", "coin_flip", "toss_coin"],
        ["Flip a coin", "Toss a coin"],
        [],
        ["Flip a coin.", "Toss a coin for me.", "Heads or tails?", "Please flip a coin."],
        {"side": _of(["heads", "tails"])},
        "The coin shows {side}.",
        ["side"],
    ),
    Kind(
        ["get_battery", "battery_level", "battery_status"],
        ["Get the battery level", "Battery status of the phone"],
        [],
        ["How full is my battery?", "What is the battery level?", "Check the battery.", "How much battery is left?"],
        {"percent": _int(1, 100)},
        "The battery is at {percent} percent.",
        ["percent"],
    ),
    Kind(
        ["take_screenshot", "screenshot", "capture_screen"],
        ["Take a screenshot", "Capture the screen"],
        [],
        ["Take a screenshot.", "Capture my screen.", "Make a screenshot please."],
        {"file": words.filename},
        "The screenshot is saved as {file}.",
        ["file"],
    ),
    Kind(
        ["lock_doors", "lock_house", "lockDoors"],
        ["Lock all doors", "Lock every door of the house"],
        [],
        ["Lock the doors.", "Please lock all doors.", "Lock the house."],
        _OK,
        "All doors are locked.",
        ["locked"],
    ),
    Kind(
        ["get_order_status", "order_status", "check_order"],
        ["Get the status of an order", "Order status"],
        [Param("order", ["order_id", "order", "number"], "integer", _int(100, 99999), ["Number of the order"])],
        [
            "Where is my order {order}?",
            "What is the status of order {order}?",
            "Check order {order}.",
            "Status of order number {order}?",
        ],
        {"status": _of(["shipped", "packed", "delivered", "delayed", "waiting"])},
        "Order {order} is {status}.",
        ["status"],
    ),
    Kind(
        ["track_package", "tracking", "trackPackage"],
        ["Track a package", "Track a parcel by its code"],
        [Param("code", ["code", "tracking_number", "tracking_id"], "string", words.code, ["Tracking code"])],
        [
            "Track my package {code}.",
            "Where is the parcel {code}?",
            "Track {code}",
            "Please track the package with code {code}.",
        ],
        {"location": words.city},
        "The package {code} is in {location}.",
        ["location"],
    ),
    Kind(
        ["define_word", "dictionary", "define", "lookup_word"],
        ["Look up a word", "Get the definition of a word"],
        [Param("word", ["word", "term"], "string", lambda r: words.any_word(r), ["The word"])],
        ["What does {word} mean?", "Define {word}.", 'Look up the word "{word}".', "What is the definition of {word}?"],
        {"definition": lambda r: words.phrase(r, 2, 4)},
        "{word} means: {definition}",
        ["definition"],
    ),
    Kind(
        ["get_news", "news", "latest_news"],
        ["Get the news about a topic", "Latest news"],
        [
            Param(
                "topic",
                ["topic", "subject", "category"],
                "string",
                lambda r: r.choice(words.TOPICS) if r.random() < 0.5 else words.phrase(r, 1, 2),
                ["Topic of the news"],
            )
        ],
        [
            "What is the news about {topic}?",
            "Give me news on {topic}.",
            "Any news about {topic}?",
            "Latest news about {topic}",
        ],
        {"headline": lambda r: words.phrase(r, 3, 5)},
        "The latest headline is: {headline}",
        ["headline"],
    ),
    Kind(
        ["get_distance", "distance", "route_length"],
        ["Distance between two cities", "Get the distance from one city to another"],
        [
            Param("origin", ["origin", "from", "start"], "string", words.city, ["Start city"]),
            Param("target", ["destination", "to", "end"], "string", words.city, ["End city"]),
        ],
        [
            "How far is it from {origin} to {target}?",
            "What is the distance from {origin} to {target}?",
            "Distance between {origin} and {target}?",
        ],
        {"km": _int(10, 9999)},
        "It is {km} km from {origin} to {target}.",
        ["km"],
    ),
    Kind(
        ["find_hotel", "hotel_search", "search_hotels"],
        ["Find a hotel", "Search hotels in a city"],
        [CITY, Param("nights", ["nights", "num_nights", "days"], "integer", _int(1, 14), ["Number of nights"])],
        [
            "Find a hotel in {city} for {nights} nights.",
            "I need a hotel in {city} for {nights} nights.",
            "Search a room in {city} for {nights} nights.",
        ],
        {"hotel": lambda r: words.phrase(r, 1, 2).title(), "price": _int(30, 400)},
        "I found {hotel} in {city} for {price} dollars.",
        ["hotel", "price"],
    ),
    Kind(
        ["search_flights", "find_flight", "flight_search"],
        ["Search flights", "Find a flight"],
        [
            Param("origin", ["origin", "from", "departure"], "string", words.city, ["Departure city"]),
            Param("target", ["destination", "to", "arrival"], "string", words.city, ["Arrival city"]),
            Param(
                "direct",
                ["direct", "nonstop", "direct_only"],
                "boolean",
                _bool,
                ["Only direct flights"],
                [" with {name} {direct}"],
            ),
        ],
        [
            "Find a flight from {origin} to {target}{direct}.",
            "I want to fly from {origin} to {target}{direct}.",
            "Search flights from {origin} to {target}{direct}.",
        ],
        {"flight": words.code, "price": _int(40, 1500)},
        "Flight {flight} costs {price} dollars.",
        ["flight", "price"],
    ),
    Kind(
        ["add_note", "take_note", "save_note", "remember"],
        ["Save a note", "Write down a note"],
        [Param("text", ["text", "note", "content"], "string", _phrase(2, 6), ["Text of the note"])],
        ["Write down: {text}", 'Save a note that says "{text}".', "Take a note: {text}", "Note: {text}"],
        _OK,
        "Your note is saved.",
        ["saved"],
    ),
]


def invented(r: Rng) -> Kind:
    """An invented tool: a verb and a noun with random parameters."""
    verb = r.choice(words.VERBS) if r.random() < 0.85 else words.pseudo_word(r)
    noun = r.choice(words.NOUNS) if r.random() < 0.85 else words.pseudo_word(r)
    params: list[Param] = []
    ask = f"{{please}}{verb} the {noun}"
    if r.random() < 0.8:
        key = r.choice(("name", f"{noun}_name", noun, "id", f"{noun}_id", "target"))
        if key.endswith("id") and r.random() < 0.6:
            params.append(Param("name", [key], "integer", _int(1, 9999), [f"Id of the {noun}"]))
        else:
            draw = r.choice((lambda q: words.phrase(q, 1, 2), words.code, words.pseudo_word, words.person))
            params.append(Param("name", [key], "string", draw, [f"Name of the {noun}", f"The {noun}"]))
        ask += r.choice((" {name}", " {name}", " named {name}", ' "{name}"'))
    extra: list[tuple[str, str, Draw]] = [
        (
            r.choice("priority level count limit size version retries timeout port depth".split()),
            "integer",
            _int(0, 999),
        ),
        (
            r.choice("urgent verbose dry_run force recursive public active notify silent strict".split()),
            "boolean",
            _bool,
        ),
        (
            r.choice("owner color region reason label mode comment tag category label".split()),
            "string",
            r.choice((words.any_word, words.person, words.city, lambda q: words.phrase(q, 1, 3))),
        ),
    ]
    for i, (key, kind, draw) in enumerate(r.sample(extra, r.choice((0, 0, 1, 1, 2)))):
        params.append(Param(key, [key], kind, draw, [key.replace("_", " ").capitalize(), f"The {key}"]))
        joiner = " with " if i == 0 else " and "
        ask += joiner + key.replace("_", " ") + r.choice((" {%s}", " {%s}", " = {%s}", " set to {%s}")) % key
    joined = (
        verb + noun.capitalize() if r.random() < 0.25 else f"{verb}_{noun}" if r.random() < 0.8 else f"{noun}_{verb}"
    )
    about = [
        f"{verb.capitalize()} the {noun}",
        f"{verb.capitalize()} {words.article(noun)}",
        f"Use this to {verb} {words.article(noun)}.",
    ]
    x = r.random()
    if x < 0.5:
        result, reply, shows = _OK, f"Done. The tool reports {{status}} for {verb} {noun}.", ["status"]
    else:
        out, draw2 = r.choice(
            [
                ("total", _int(0, 9999)),
                ("code", words.code),
                ("owner", words.person),
                ("price", _int(1, 999)),
                ("location", words.city),
                ("message", _phrase(2, 4)),
                ("result", words.any_word),
                ("size", _int(1, 999)),
            ]
        )
        result, reply, shows = {out: draw2}, f"The {out} is {{{out}}}.", [out]
    return Kind([joined], about, params, [ask], result, reply, shows)
