"""What compiles on the appliance: the one program there that has the compiler."""
