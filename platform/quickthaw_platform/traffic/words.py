"""Text to make prompts of, where the user gives none: common words in a random order that is always the same."""

from __future__ import annotations

import random
from functools import cache

_LIST = """
a about above across after again against air all almost alone along already also always among an and animal another
answer any apple are around arrive art as ask at away baby back bad bag ball bank be because bed been before begin
behind believe below beside best better between big bird black blue board boat body bone book both bottom box boy
branch bread break bridge bring brother brown build burn busy but buy by call came can car care carry case cat catch
cause centre chair chance change child choose church circle city clean clear climb clock close cloud coat cold colour
come common cook corner cost could count country cover cow cross cry cup cut dance dark day deep did different dinner
direction do doctor dog door down draw dream dress drink drive dry during each ear early earth east eat edge egg eight
either empty end enough even evening ever every eye face fall family far farm fast father feel feet few field fight
fill find fire first fish five floor flower fly follow food foot for forest forget four free friend from front fruit
full game garden gave get girl give glass go gold good grass great green ground group grow had half hand happen happy
hard has hat have he head hear heart heavy help her here high hill him his hold home hope horse hot hour house how
hundred hurry I ice if important in inside into iron is island it join jump just keep key kind kitchen know lake land
language large last late laugh lead leaf learn leave left letter lift light like line listen little live long look lose
lot love low lunch machine made make man many map market matter may me mean measure meet metal middle might mile milk
mind minute money month moon more morning most mother mountain move much music must my name near need never new next
night nine no north nose not note nothing now number of off often oil old on once one only open or order other our out
over own page paint paper part pass pay people perhaps person picture piece place plan plant play please point poor
possible pull push put question quick quiet rain reach read ready real reason red remember rest rich ride right ring
river road rock room round run sail salt same sand say school sea season seat second see seed sell send seven shape
she ship shoe shop short should shout show side silver simple sing sister sit six skin sky sleep slow small snow so soft
some son song soon sound south space speak spring square stand star start stay step still stone stop storm story street
strong study such sugar summer sun sure surface swim table take talk tall teach tell ten than that the their them then
there these they thing think this those though thought thousand three through time tired to today together told tomorrow
too top touch town train travel tree true try turn two under until up us use valley very village visit voice wait walk
wall want warm was wash watch water way we weather week well went were west what wheel when where which while white who
why wide wild will wind window winter wish with woman wood word work world would write wrong yard year yellow yes yet
you young your
"""
WORDS = _LIST.split()

_LENGTH = 40_000
_SEED = 20_260_101


@cache
def random_text() -> str:
    """Return some 200,000 characters of words and full stops."""
    rng = random.Random(_SEED)
    words = [rng.choice(WORDS) + ("." if rng.random() < 0.08 else "") for _ in range(_LENGTH)]
    return " ".join(words)
