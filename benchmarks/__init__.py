"""How fast a switch and a revert are, beside a bare script that does nothing but watch and patch."""
