"""The table of reasoning-gym's families and the graders that judge them.

It was made for reasoning-gym 0.1.25 by drawing 200 entries of each family.

"math" compares values, so it is only for families whose question holds no expression that is equal
to the answer: a policy could copy that. Sums of decimals and the like are compared as text instead,
and lose the answers that are right in another notation. In power_function the reference answers
have more digits than the question asks for.
"""

from papo_jax.errors import InputError

_FAMILIES = {
    "integer": """
        aiw basic_arithmetic binary_alternation chain_sum circuit_logic count_bits count_primes gcd
        largest_island lcm leg_counting letter_counting maze number_sequence products
        rectangle_count rotten_oranges self_reference simple_equations simple_geometry""",
    "math": "coin_flip dice gsm_symbolic number_format polynomial_equations",
    "approximate": "power_function",
    "expression": "countdown puzzle24",
    "exact": """
        ab acre advanced_geometry arc_1d arc_agi base_conversion bf binary_matrix bitwise_arithmetic
        caesar_cipher calendar_arithmetic codeio color_cube_rotation complex_arithmetic
        course_schedule cryptarithm decimal_arithmetic decimal_chain_sum emoji_mystery
        family_relationships figlet_font fraction_simplification futoshiki game_of_life
        game_of_life_halting group_anagrams intermediate_integration isomorphic_strings jugs
        kakurasu knight_swap knights_knaves letter_jumble list_functions mahjong_puzzle
        manipulate_matrix mini_sudoku modulo_grid n_queens needle_haystack number_filtering
        number_sorting palindrome_generation palindrome_partitioning path_star
        polynomial_multiplication pool_matrix prime_factorization quantum_lock ransom_note rearc
        rotate_matrix sentence_reordering shortest_path simple_integration sokoban spell_backward
        spiral_matrix string_insertion string_manipulation string_splitting string_synthesis sudoku
        survo syllogism time_intervals tower_of_hanoi tsumego word_ladder word_sequence_reversal
        word_sorting zebra_puzzles""",
}
GRADERS = {family: grader for grader, families in _FAMILIES.items() for family in families.split()}

# No reference answer at all: only reasoning-gym's own scorer could tell, and that runs on what the
# policy wrote.
WITHOUT_REFERENCE = frozenset(
    "boxnet graph_color propositional_logic rubiks_cube rush_hour".split()
)
WITH_SETTINGS = frozenset(("composite",))  # made of other families that its settings name

# The reference is one of many valid answers, so comparing text counts right answers as wrong.
ONE_OF_MANY = frozenset(
    """cryptarithm jugs kakurasu knight_swap letter_jumble n_queens palindrome_generation
    quantum_lock sentence_reordering shortest_path sokoban survo tower_of_hanoi
    word_ladder""".split()
)
# The answer is unique but can be written in other ways (trailing zeros, white space, order), with
# the same effect.
MANY_FORMS = frozenset(
    """advanced_geometry codeio complex_arithmetic decimal_arithmetic decimal_chain_sum
    family_relationships fraction_simplification futoshiki game_of_life group_anagrams
    intermediate_integration knights_knaves number_filtering number_sorting palindrome_partitioning
    polynomial_multiplication pool_matrix simple_integration time_intervals""".split()
)


def choose_grader(family: str) -> str:
    """Returns the grader of a family; of one that is newer than this table, "exact".

    >>> [choose_grader(family) for family in ("gcd", "countdown", "sudoku")]
    ['integer', 'expression', 'exact']

    Raises:
      InputError: if no grader can judge the family.
    """
    if family in WITHOUT_REFERENCE:
        raise InputError(
            f"reasoning_gym/{family} has no reference answers, and reasoning-gym's own scorers are "
            "never called; choose another family"
        )
    if family in WITH_SETTINGS:
        raise InputError(
            f"reasoning_gym/{family} cannot be made without settings; "
            "choose another family, or a mixture of tasks"
        )
    return GRADERS.get(family, "exact")


def family_notes(family: str) -> tuple[str, ...]:
    """Returns what a reader of this family's figures should know."""
    notes = []
    if family not in GRADERS:
        notes.append(
            f"reasoning_gym/{family} is newer than our table of graders; "
            "reference answers are compared as text"
        )
    if family in ONE_OF_MANY:
        notes.append(
            f"reasoning_gym/{family}: the reference answer is one of many valid ones; "
            "exact comparison undercounts"
        )
    if family in MANY_FORMS:
        notes.append(
            f"reasoning_gym/{family}: an answer can be written in many ways; "
            "exact comparison undercounts"
        )
    return tuple(notes)
