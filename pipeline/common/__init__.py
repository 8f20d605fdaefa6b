"""What every part needs: settings, catalogues, files, seeds, the command line."""
