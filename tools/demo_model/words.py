"""Word lists and random-value helpers used by all task generators."""

from __future__ import annotations

from conversation import Rng

NAMES = """Anna Ben Clara David Emma Felix Grace Henry Iris Jack Kate Leo Mia Noah Olivia Paul Rosa Sam Tina Victor
Wendy Adam Bella Carl Diana Eric Fiona George Hanna Ivan Julia Kevin Laura Max Nina Oscar Peter Ruth Simon Tom
Uma Vera Will Zoe Alice Bob Daniel Lily Lucas Maria Omar Priya Ravi Sara Yuki Chen Elena Marco Amir Sofia""".split()
FEMALE = set(
    """Anna Clara Emma Grace Iris Kate Mia Olivia Rosa Tina Wendy Bella Diana Fiona Hanna Julia Laura Nina Ruth
Uma Vera Zoe Alice Lily Maria Priya Sara Yuki Elena Sofia""".split()
)
CITIES = """Paris London Berlin Rome Madrid Tokyo Beijing Sydney Cairo Oslo Vienna Prague Dublin Lisbon Athens Boston
Chicago Toronto Delhi Mumbai Seoul Moscow Zurich Geneva Milan Denver Dallas Seattle Miami Lima Bogota Nairobi Lagos
Helsinki Warsaw Budapest Brussels Hamburg Munich Shanghai Osaka Bangkok Hanoi Jakarta Dubai Havana Quito""".split()
LONG_CITIES = ["New York", "San Francisco", "Los Angeles", "Hong Kong", "Buenos Aires", "Cape Town", "Mexico City"]
COLORS = "red blue green yellow black white brown orange purple pink gray golden silver".split()
FRUITS = """apple banana cherry date fig grape kiwi lemon mango melon orange peach pear plum lime papaya apricot
blueberry strawberry raspberry coconut pineapple olive tomato""".split()
ANIMALS = """ant bear bee bird camel cat cow crab deer dog dolphin donkey duck eagle elephant fish fox frog goat goose
hamster hen horse kangaroo koala lion lizard monkey mouse otter owl panda parrot penguin pig pony rabbit rat raven seal
shark sheep snake spider squirrel swan tiger turtle whale wolf zebra""".split()
OBJECTS = """bag ball basket bell bike blanket boat book bottle bowl box bread brush bucket button cake camera candle
chair clock coat coin cookie cup desk door drum feather flag flower flute glass guitar hammer hat jar kettle key kite
knife ladder lamp lantern leaf letter map mirror mug needle notebook paper pen pencil piano picture pillow plate pot
ribbon ring rope scarf shell shoe sock spoon star stone sword table telescope tent ticket torch toy train umbrella
violin wagon watch wheel window""".split()
PLACES = """forest river castle garden mountain village beach lake cave island bridge market library school tower farm
desert valley park harbor meadow hill city kitchen attic cabin lighthouse museum station mill""".split()
CREATURES = """cat dog fox rabbit bear mouse owl frog turtle wolf lion penguin squirrel duck horse dragon robot pig
monkey tiger bird elephant hedgehog goat whale""".split()
FOODS = """pizza pasta soup rice bread cheese salad sushi curry noodles pancakes honey chocolate cake fish
tomatoes potatoes apples bananas cherries""".split()
JOBS = """teacher doctor farmer baker painter pilot nurse engineer writer singer driver cook gardener lawyer dentist
carpenter sailor librarian photographer plumber""".split()
INSTRUMENTS = "piano guitar violin flute drums trumpet cello harp".split()
SPORTS = "tennis football chess basketball golf hockey swimming badminton volleyball".split()
MONTHS = """January February March April May June July August September October November December""".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
LANGUAGES = "French German Spanish Italian Chinese Japanese Korean Russian Arabic Portuguese Dutch Greek".split()
ADJECTIVES = "old new small large quick quiet bright dark warm cold soft heavy little big happy brave".split()
VERBS = """archive approve assign backup build cancel check clean clone close compile copy count create deploy disable
download enable encrypt export fetch find fix format freeze get import inspect install launch list load lock log
measure merge monitor move open pause ping print publish query read rebuild record release remove rename render repair
report reserve reset resize restart restore resume rotate save scan schedule send share show sign skip start stop store
submit sync tag test trace train trim unlock update upload validate verify view""".split()
NOUNS = """account album alert article asset backup badge batch bill board booking branch bucket budget cache camera
campaign card cart channel chart claim client cluster comment contact container contract coupon course dashboard
database device document domain draft drive engine entry event exam expense feature field file folder form game gateway
group guest image index invoice issue item job journal key label layer lead lesson license list log machine meeting
member memo message meter migration model module monitor network node note notebook order package page parcel partner
patient payment permit photo pipeline plan playlist plugin policy poll post printer process product profile project
queue quote recipe record region release report repository request review robot role room route rule schedule script
sensor server service session shipment shop signal site sprint store student survey table task team template tenant
test ticket timer token tour track trip tunnel user vehicle vendor video visit vote wallet warehouse widget worker
workflow workspace zone""".split()
TOPICS = """quantum physics|black holes|the French Revolution|machine learning|photosynthesis|the stock market|
jazz music|ancient Egypt|the human brain|climate change|volcanoes|the Roman Empire|dinosaurs|world peace|DNA|the moon|
blockchain|chess openings|vitamins|gravity|the ocean|democracy|philosophy|Shakespeare|the internet|electric cars|
opera|cooking steak|knitting|astronomy|genetics|politics|football rules|wine|the Olympics|relativity|economics|poetry|
computer viruses|solar panels|yoga|the universe|evolution|medicine|bridges|coffee|the weather on Mars""".replace(
    "\n", ""
).split("|")
COUNTRIES = """France Germany Spain Italy Japan China Brazil Canada India Egypt Kenya Norway Sweden Peru Chile Cuba
Greece Turkey Poland Mexico Ireland Vietnam Thailand Australia Austria Portugal Argentina Morocco Finland""".split()

ZH_NAMES = "小明 小红 小华 小李 小王 小张 小刚 小丽 小芳 小东 小雪 小林 小美 小强 小英 大伟 阿亮 阿梅".split()
ZH_CITIES = "北京 上海 广州 深圳 南京 杭州 成都 武汉 西安 重庆 天津 苏州 青岛 长沙 昆明 大连".split()
ZH_COLORS = "红色 蓝色 绿色 黄色 黑色 白色 棕色 紫色 灰色".split()
ZH_PETS = "猫 狗 兔子 鸟 鱼 乌龟 马 羊".split()
ZH_JOBS = "老师 医生 农民 画家 司机 护士 工程师 厨师 歌手 作家 警察 律师".split()
ZH_FOODS = "苹果 香蕉 米饭 面条 饺子 西瓜 蛋糕 包子 鱼 豆腐 葡萄 巧克力".split()
ZH_SPORTS = "足球 篮球 乒乓球 羽毛球 网球 排球".split()
ZH_DAYS = "星期一 星期二 星期三 星期四 星期五 星期六 星期日".split()

_ONSETS = "b c d f g h j k l m n p r s t v w z br ch cl cr dr fl gr kr pl pr qu sh sk sl sp st th tr tw".split()
_VOWELS = "a e i o u ai ea ee oo ou".split()
_CODAS = ["", "", "", "n", "r", "l", "s", "t", "k", "m", "x", "nd", "sh", "ck", "rt"]


def pseudo_word(r: Rng) -> str:
    """A pronounceable random word that no list holds."""
    return "".join(r.choice(_ONSETS) + r.choice(_VOWELS) + r.choice(_CODAS) for _ in range(r.choice((1, 2, 2, 3))))


def person(r: Rng, rare: float = 0.15) -> str:
    """A first name, sometimes an invented one."""
    return pseudo_word(r).capitalize() if r.random() < rare else r.choice(NAMES)


def city(r: Rng, rare: float = 0.12) -> str:
    """A city name, sometimes an invented one."""
    x = r.random()
    if x < rare:
        return pseudo_word(r).capitalize()
    return r.choice(LONG_CITIES) if x < rare + 0.08 else r.choice(CITIES)


def any_word(r: Rng) -> str:
    """Any single word: from the lists or invented."""
    x = r.random()
    if x < 0.3:
        return pseudo_word(r)
    return r.choice(r.choice((FRUITS, ANIMALS, OBJECTS, PLACES, COLORS, NOUNS, VERBS, FOODS, JOBS)))


def phrase(r: Rng, low: int = 1, high: int = 4) -> str:
    """A few random words, as a title or a search text."""
    return " ".join(any_word(r) for _ in range(r.randint(low, high)))


def code(r: Rng) -> str:
    """An identifier such as 'A7-204' or 'kx92'."""
    letters = "ABCDEFGHJKLMNPQRSTUVWXYZ"
    x = r.random()
    if x < 0.4:
        return "".join(r.choice(letters) for _ in range(r.randint(1, 3))) + "-" + str(r.randint(1, 9999))
    if x < 0.7:
        return "".join(r.choice(letters + "0123456789") for _ in range(r.randint(4, 8)))
    return pseudo_word(r) + str(r.randint(1, 999))


def filename(r: Rng) -> str:
    """A file name or path."""
    name = any_word(r) + r.choice(("", "", "_" + any_word(r), str(r.randint(1, 99))))
    path = name + r.choice((".txt", ".md", ".csv", ".json", ".py", ".log", ".pdf", ".png"))
    return path if r.random() < 0.6 else "/".join(["", any_word(r), path] if r.random() < 0.5 else [any_word(r), path])


def email(r: Rng) -> str:
    """A mail address."""
    host = r.choice(("example.com", "mail.com", "example.org", pseudo_word(r) + ".com"))
    return f"{r.choice((person(r).lower(), any_word(r)))}@{host}"


def clock(r: Rng) -> str:
    """A time of day."""
    return (
        f"{r.randint(0, 23)}:{r.choice(('00', '15', '30', '45', '10', '20'))}"
        if r.random() < 0.7
        else f"{r.randint(1, 12)} {r.choice(('am', 'pm'))}"
    )


def article(word: str) -> str:
    """`word` with its indefinite article."""
    return ("an " if word[0] in "aeiou" else "a ") + word


def join_and(items: list[str]) -> str:
    """'a, b and c'."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


_UNITS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen""".split()
_TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()


def number_word(n: int, dash: str = "-") -> str:
    """A number up to 99 in English words."""
    if n < 20:
        return _UNITS[n]
    return _TENS[n // 10] + (dash + _UNITS[n % 10] if n % 10 else "")
